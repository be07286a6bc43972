import { setMaxListeners } from 'node:events';
import { Alarm } from '../driver/alarm.ts';
import type { OutgoingMessage } from '../driver/driver.ts';
import { BatchError, WaybillError } from '../driver/errors.ts';
import { Roster } from '../driver/roster.ts';
import { type Reconnect, backoffMs } from './backoff.ts';
import { Entry, type Keep, destinationOf, sizeOf } from './entry.ts';
import { failuresOf } from './failures.ts';
import { Lane, type LaneOptions } from './lane.ts';
import type { Observe } from './observe.ts';
import { Pace } from './pace.ts';

export interface PublisherOptions extends Omit<LaneOptions, 'pace'> {
  /** How long a send of the application may take, and a call to the driver. */
  readonly timeoutMs: number;
  /** What the application may have waiting. */
  readonly maxPendingBytes: number;
  readonly reconnect: Reconnect;
  readonly random: () => number;
  readonly observe: Observe | undefined;
}

/** Longer than a healthy broker takes to store a batch. */
const SLOW_CALL_MS = 3_000;
const NONE: ReadonlyMap<number, WaybillError> = new Map();

/**
 * Gathers messages into the driver's batches while a call is open. Messages of one key go out in order: one open batch
 * per lane, and a message that failed holds back its key, and only its key, until it is stored or has failed for good.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #lanes: readonly Lane[];
  /** In the order of their deadlines, since all have the same time. */
  readonly #timed = new Roster<Entry>();
  readonly #retries: Alarm<Entry>;
  #cancelDeadline: (() => void) | undefined;
  #pending = 0;
  /** Of the application's messages; copies never throttle it. */
  #waitingBytes = 0;
  #nextLane = 0;
  #failures = 0;
  #lastError: WaybillError | undefined;
  #closed = false;
  readonly #idle: (() => void)[] = [];

  constructor(options: PublisherOptions) {
    this.#options = options;
    const { concurrency, everyMs } = options.limit;
    const lanes = { ...options, pace: new Pace(everyMs, concurrency) };
    this.#lanes = Array.from({ length: Math.max(concurrency, 1) }, () => new Lane(lanes, this));
    this.#retries = new Alarm((entries) => this.#resume(entries), options.clock);
  }

  /** Accepted and not yet stored or failed. */
  get pending(): number {
    return this.#pending;
  }

  /** Why the last call stored nothing: what the broker refuses, or, while something is pending, that it does not answer. */
  get failing(): WaybillError | undefined {
    const error = this.#failures > 0 ? this.#lastError : undefined;
    return error?.retryable === true && this.#pending === 0 ? undefined : error;
  }

  /** Whether the broker has not answered a call for longer than it should take. */
  get waiting(): boolean {
    return this.#lanes.some((lane) => lane.isOpenFor(SLOW_CALL_MS));
  }

  /** Resolves once the broker stored it. Rejects with the broker's refusal, UNAVAILABLE, TIMEOUT, THROTTLED or CLOSED. */
  publish(message: OutgoingMessage, signal: AbortSignal | undefined): Promise<void> {
    const { clock, timeoutMs, maxPendingBytes } = this.#options;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (this.#waitingBytes > 0 && this.#waitingBytes + sizeOf(message) > maxPendingBytes) {
      return Promise.reject(throttled(message, maxPendingBytes));
    }
    return new Promise((resolve, reject) => {
      const entry = this.#enter(message, clock.now() + timeoutMs, undefined, (error) => {
        if (signal !== undefined) signal.removeEventListener('abort', onAbort);
        if (error === undefined) resolve();
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- a signal's reason may be anything
        else reject(error);
      });
      const onAbort = (): void => this.#settle(entry, signal?.reason);
      if (signal !== undefined) listen(signal, onAbort);
      this.#timed.add(entry);
      if (this.#cancelDeadline === undefined) this.#armDeadline();
    });
  }

  /** Sends a message of the runtime's own. `done` is called once, with the failure that ended it or undefined. */
  keep(message: OutgoingMessage, keep: Keep, done: (error: unknown) => void): void {
    this.#enter(message, Number.POSITIVE_INFINITY, keep, done);
  }

  /** Asks the guards again that said `wait`. */
  poke(): void {
    for (const lane of this.#lanes) lane.poke();
  }

  /** Called every now and then: a call that the driver never ends is aborted. */
  tick(): void {
    for (const lane of this.#lanes) lane.abortAfter(this.#options.timeoutMs);
  }

  /** Resolves once nothing is pending. */
  flushed(): Promise<void> {
    return this.#pending === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Everything still pending is rejected with CLOSED, or TIMEOUT where it may be stored. */
  close(): void {
    this.#closed = true;
    const rest = [...this.#retries.clear(), ...this.#timed, ...this.#lanes.flatMap((lane) => lane.close())];
    for (const entry of rest) this.#settle(entry, entry.closed());
    this.#cancelDeadline?.();
  }

  finished(lane: Lane, batch: readonly Entry[], startedAt: number, error: unknown): void {
    const failures = error === undefined ? NONE : failuresOf(batch.length, error, 'A send');
    if (this.#options.observe !== undefined) this.#report(batch, startedAt, failures);
    this.#failures = failures.size < batch.length ? 0 : this.#failures + 1;
    if (error !== undefined) this.#lastError = failures.values().next().value ?? this.#lastError;
    for (const [index, entry] of batch.entries()) {
      const cause = failures.get(index);
      if (cause === undefined) this.#settle(entry, undefined);
      else this.#failed(lane, entry, cause, BatchError.is(error));
    }
  }

  dropped(entry: Entry): void {
    this.#settle(
      entry,
      new WaybillError('LEASE_LOST', `The lease behind "${entry.message.id}" was lost: nothing is sent.`),
    );
  }

  #failed(lane: Lane, entry: Entry, error: WaybillError, exact: boolean): void {
    if (entry.settled) return;
    entry.uncertain ||= exact ? error.code === 'TIMEOUT' : error.code !== 'UNAVAILABLE';
    entry.lastError = error;
    const again = entry.keep === undefined ? error.retryable : !entry.keep.final.has(error.code);
    if (this.#closed) return this.#settle(entry, entry.closed());
    if (!again) return this.#settle(entry, error);
    entry.failures += 1;
    const { clock, reconnect, random } = this.#options;
    if (lane.hold(entry)) this.#retries.set(clock.now() + backoffMs(entry.failures, reconnect, random), entry);
  }

  #enter(message: OutgoingMessage, deadlineMs: number, keep: Keep | undefined, done: (error: unknown) => void): Entry {
    const orderKey = orderKeyOf(message);
    const lane = this.#lanes[(orderKey === undefined ? this.#nextLane++ : hash(orderKey)) % this.#lanes.length] as Lane;
    const entry = new Entry(message, { lane, orderKey, deadlineMs, keep }, done);
    this.#pending += 1;
    if (keep === undefined) this.#waitingBytes += entry.bytes;
    if (this.#closed) queueMicrotask(() => this.#settle(entry, entry.closed()));
    else lane.add(entry);
    return entry;
  }

  #resume(entries: readonly Entry[]): void {
    for (const lane of this.#lanes) {
      const due = entries.filter((entry) => entry.lane === lane);
      if (due.length > 0) lane.resume(due);
    }
  }

  #settle(entry: Entry, error: unknown): void {
    if (entry.settled) return;
    entry.settled = true;
    this.#timed.delete(entry);
    this.#pending -= 1;
    if (entry.keep === undefined) this.#waitingBytes -= entry.bytes;
    entry.done(error);
    if (this.#pending > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #armDeadline(): void {
    const oldest = this.#timed.first;
    this.#cancelDeadline = undefined;
    if (oldest === undefined || this.#closed) return;
    this.#cancelDeadline = this.#options.clock.after(oldest.deadlineMs - this.#options.clock.now(), () => {
      const now = this.#options.clock.now();
      for (const entry of this.#timed) {
        if (entry.deadlineMs > now) break;
        this.#settle(entry, entry.expired(this.#options.timeoutMs));
      }
      this.#armDeadline();
    });
  }

  #report(batch: readonly Entry[], startedAt: number, failures: ReadonlyMap<number, WaybillError>): void {
    const counts = new Map<string, { count: number; failed: number; error?: WaybillError }>();
    for (const [index, entry] of batch.entries()) {
      const destination = destinationOf(entry.message);
      const seen = counts.get(destination) ?? { count: 0, failed: 0 };
      counts.set(destination, seen);
      seen.count += 1;
      const error = failures.get(index);
      if (error === undefined) continue;
      seen.failed += 1;
      seen.error = error;
    }
    const durationMs = this.#options.clock.now() - startedAt;
    for (const [destination, seen] of counts) {
      this.#options.observe?.({ name: 'sent', destination, startedAt, durationMs, ...seen });
    }
  }
}

/** Many publishes may share one signal: Node would print a warning at the eleventh. */
function listen(signal: AbortSignal, onAbort: () => void): void {
  setMaxListeners(0, signal);
  signal.addEventListener('abort', onAbort, { once: true });
}

function throttled(message: OutgoingMessage, maxPendingBytes: number): WaybillError {
  const limit = `${maxPendingBytes} bytes wait to be stored already`;
  return new WaybillError(
    'THROTTLED',
    `"${message.type}" to ${destinationOf(message)} was not taken: ${limit}. Await earlier publishes.`,
  );
}

function orderKeyOf({ target, key }: OutgoingMessage): string | undefined {
  if (key === undefined) return undefined;
  return 'topic' in target ? `t${target.topic}\0${key}` : `q${target.queue}\0${target.lane}\0${key}`;
}

/** FNV-1a, 32 bits: spreads keys over lanes. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return value;
}
