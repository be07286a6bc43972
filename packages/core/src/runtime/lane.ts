import type { Clock } from '../driver/clock.ts';
import type { Limit } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import type { Entry } from './entry.ts';
import type { Send } from './middleware.ts';
import type { Pace } from './pace.ts';

export interface LaneOptions {
  readonly send: Send;
  readonly limit: Limit;
  readonly clock: Clock;
  readonly pace: Pace;
  /** Called before a batch is built. */
  readonly beforeSend: () => void;
}

export interface LaneOwner {
  /** Accepted and not yet stored or failed, of all lanes. */
  readonly pending: number;
  finished(lane: Lane, batch: readonly Entry[], startedAt: number, error: unknown): void;
  dropped(entry: Entry): void;
}

interface Call {
  readonly startedAt: number;
  readonly batch: readonly Entry[];
}

/** Above it a larger batch is worth a turn of the event loop: nobody waits for one message. */
const MANY_PENDING = 32;

/** One stream of batches to the driver, with one call open at a time. What gathers meanwhile is the next batch. */
export class Lane {
  readonly #options: LaneOptions;
  readonly #owner: LaneOwner;
  #queue: Entry[] = [];
  #head = 0;
  /** By key: a message that failed, and what came after it. */
  readonly #held = new Map<string, Entry[]>();
  #guarded: Entry[] = [];
  #call: Call | undefined;
  /** Of call after call, until it aborts one: small calls would pay for a signal each. */
  #abort = new AbortController();
  #scheduled = false;

  constructor(options: LaneOptions, owner: LaneOwner) {
    this.#options = options;
    this.#owner = owner;
  }

  add(entry: Entry): void {
    this.#queue.push(entry);
    this.#schedule();
  }

  /** Keeps a failed entry back with its key. False when an earlier one of its key is kept back already. */
  hold(entry: Entry): boolean {
    if (entry.orderKey === undefined) return true;
    const held = this.#held.get(entry.orderKey);
    if (held === undefined) this.#held.set(entry.orderKey, [entry]);
    else held.push(entry);
    return held === undefined;
  }

  /** Tries failed entries again, before everything that came after them. */
  resume(entries: readonly Entry[]): void {
    const again: Entry[] = [];
    for (const entry of entries) {
      const held = entry.orderKey === undefined ? [entry] : (this.#held.get(entry.orderKey) ?? []);
      if (entry.orderKey !== undefined) this.#held.delete(entry.orderKey);
      for (const each of held) again.push(each);
    }
    this.#putFirst(again);
  }

  /** Asks the guards again that said `wait`. */
  poke(): void {
    if (this.#guarded.length === 0) return;
    this.#putFirst(this.#guarded.splice(0));
  }

  #putFirst(entries: readonly Entry[]): void {
    this.#queue = entries.concat(this.#queue.slice(this.#head));
    this.#head = 0;
    this.#schedule();
  }

  isOpenFor(ms: number): boolean {
    return this.#call !== undefined && this.#call.startedAt + ms <= this.#options.clock.now();
  }

  /** Aborts a call that has been open for longer than `ms`. */
  abortAfter(ms: number): void {
    if (this.isOpenFor(ms)) this.#abort.abort();
  }

  /** Everything in it, taken out; an open call is aborted. */
  close(): readonly Entry[] {
    const open = this.#call?.batch ?? [];
    const rest = [...open, ...this.#queue.slice(this.#head), ...this.#guarded, ...[...this.#held.values()].flat()];
    this.#queue = [];
    this.#head = 0;
    this.#guarded = [];
    this.#held.clear();
    this.#abort.abort();
    return rest;
  }

  // At the end of this turn, with all that it publishes. Where many are under way others are about to come: they go out together.
  #schedule(): void {
    if (this.#scheduled || this.#call !== undefined) return;
    this.#scheduled = true;
    const { clock, pace } = this.#options;
    const wait = pace.take(clock.now());
    const run = (): void => {
      this.#scheduled = false;
      this.#send();
    };
    if (wait > 0) clock.after(wait, run);
    else if (this.#owner.pending > MANY_PENDING) setImmediate(run);
    else process.nextTick(run);
  }

  #send(): void {
    if (this.#call !== undefined || this.#head >= this.#queue.length) return;
    this.#options.beforeSend();
    const batch = this.#gather();
    if (batch.length === 0) return;
    const startedAt = this.#options.clock.now();
    if (this.#abort.signal.aborted) this.#abort = new AbortController();
    this.#call = { startedAt, batch };
    const end = (error: unknown): void => {
      this.#call = undefined;
      for (const entry of batch) entry.open = false;
      this.#owner.finished(this, batch, startedAt, error);
      if (this.#head < this.#queue.length) this.#schedule();
    };
    this.#hand(batch, this.#abort.signal).then(
      () => end(undefined),
      (error: unknown) => end(error ?? new WaybillError('UNKNOWN', 'A send failed and did not say why.')),
    );
  }

  /** Whatever throws in it fails the batch, and nothing else. */
  async #hand(batch: readonly Entry[], signal: AbortSignal): Promise<void> {
    return this.#options.send(
      batch.map((entry) => entry.message),
      signal,
    );
  }

  #gather(): readonly Entry[] {
    const { count, bytes } = this.#options.limit;
    const batch: Entry[] = [];
    let size = 0;
    while (this.#head < this.#queue.length && batch.length < count) {
      const entry = this.#queue[this.#head] as Entry;
      if (batch.length > 0 && size + entry.bytes > bytes) break;
      this.#head += 1;
      if (!this.#mayGo(entry)) continue;
      entry.open = true;
      size += entry.bytes;
      batch.push(entry);
    }
    if (this.#head === this.#queue.length || this.#head > 4096) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return batch;
  }

  #mayGo(entry: Entry): boolean {
    if (entry.settled) return false;
    const held = entry.orderKey === undefined ? undefined : this.#held.get(entry.orderKey);
    if (held !== undefined) {
      held.push(entry);
      return false;
    }
    const verdict = entry.keep?.guard() ?? 'go';
    if (verdict === 'wait') this.#guarded.push(entry);
    else if (verdict === 'drop') this.#owner.dropped(entry);
    return verdict === 'go';
  }
}
