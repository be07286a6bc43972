import type { Clock } from '../driver/clock.ts';
import type { Headers, Limit, Settlement, Subscription } from '../driver/driver.ts';
import type { WaybillError } from '../driver/errors.ts';
import { type Reconnect, backoffMs } from './backoff.ts';
import { failuresOf } from './failures.ts';
import type { Task } from './task.ts';

export interface SettlerOptions {
  readonly limit: Limit;
  readonly clock: Clock;
  readonly reconnect: Reconnect;
  readonly random: () => number;
  /** Called before a batch is built: notices a frozen process. */
  readonly beforeSettle: () => void;
  /** Whether this outcome may go out now; see {@link Guard}. */
  readonly guard: (task: Task) => 'go' | 'wait' | 'drop';
  readonly onSettled: (task: Task) => void;
  readonly onLost: (tasks: readonly Task[], cause: WaybillError) => void;
  /** A call ended, or there was nothing to settle after all. */
  readonly onIdle: () => void;
}

type Pending = Settlement & { readonly task: Task; readonly done: (() => void) | undefined };

/** Gathers settlements into the driver's batches: one turn's worth, or what came while a call was open. */
export class Settler {
  readonly #options: SettlerOptions;
  #subscription: Subscription | undefined;
  #pending: Pending[] = [];
  #waiting: Pending[] = [];
  #openCalls = 0;
  #settling = 0;
  #openRejects = 0;
  #failures = 0;
  #scheduled = false;

  constructor(options: SettlerOptions) {
    this.#options = options;
  }

  /** Settlements go here from now on. Those of an older subscription are lost with it. */
  use(subscription: Subscription): void {
    this.#subscription = subscription;
  }

  /** Decided and not yet taken by the broker. */
  get size(): number {
    return this.#waiting.length + this.settling;
  }

  /** Those of {@link size} that wait for nothing but the broker. */
  get settling(): number {
    return this.#pending.length + this.#settling;
  }

  /** Those of {@link size} that take a message to the dead lane. */
  get rejects(): number {
    return countRejects(this.#pending) + countRejects(this.#waiting) + this.#openRejects;
  }

  accept(task: Task): void {
    this.#add({ delivery: task.delivery, action: 'accept', task, done: undefined });
  }

  release(task: Task): void {
    this.#add({ delivery: task.delivery, action: 'release', task, done: undefined });
  }

  /** `done` is called once the dead lane has it. */
  reject(task: Task, letter: { readonly reason: string; readonly headers: Headers }, done: () => void): void {
    this.#add({ delivery: task.delivery, action: 'reject', ...letter, task, done });
  }

  /** Asks the guard again where it said `wait`. */
  poke(): void {
    if (this.#waiting.length === 0) return;
    this.#pending = [...this.#waiting, ...this.#pending];
    this.#waiting = [];
    this.#schedule();
  }

  #add(pending: Pending): void {
    this.#pending.push(pending);
    this.#schedule();
  }

  #schedule(afterMs = 0): void {
    const { limit, clock } = this.#options;
    if (this.#scheduled || this.#openCalls >= limit.concurrency) return;
    this.#scheduled = true;
    const run = (): void => {
      this.#scheduled = false;
      this.#flush();
    };
    const wait = Math.max(afterMs, limit.everyMs);
    if (wait > 0) clock.after(wait, run);
    else setImmediate(run);
  }

  #flush(): void {
    const subscription = this.#subscription;
    if (subscription === undefined || this.#pending.length === 0) return;
    this.#options.beforeSettle();
    const batch = this.#gather();
    if (this.#pending.length > 0) this.#schedule();
    if (batch.length === 0) return this.#options.onIdle();
    const rejects = countRejects(batch);
    this.#openCalls += 1;
    this.#settling += batch.length;
    this.#openRejects += rejects;
    const ended = (failures?: ReadonlyMap<number, WaybillError>): void => {
      this.#openCalls -= 1;
      this.#settling -= batch.length;
      this.#openRejects -= rejects;
      this.#settled(batch, failures);
    };
    subscription.settle(batch).then(
      () => ended(),
      (error: unknown) => ended(failuresOf(batch.length, error, 'Settling')),
    );
  }

  #gather(): readonly Pending[] {
    const batch: Pending[] = [];
    let taken = 0;
    for (const pending of this.#pending) {
      if (batch.length >= this.#options.limit.count) break;
      taken += 1;
      const verdict = this.#options.guard(pending.task);
      if (verdict === 'go') batch.push(pending);
      else if (verdict === 'wait') this.#waiting.push(pending);
    }
    this.#pending = taken === this.#pending.length ? [] : this.#pending.slice(taken);
    return batch;
  }

  #settled(batch: readonly Pending[], failures: ReadonlyMap<number, WaybillError> | undefined): void {
    if (failures === undefined) {
      this.#failures = 0;
      for (const pending of batch) this.#taken(pending);
    } else this.#partly(batch, failures);
    if (this.#pending.length > 0) this.#schedule(this.#retryMs());
    this.#options.onIdle();
  }

  #partly(batch: readonly Pending[], failures: ReadonlyMap<number, WaybillError>): void {
    const again: Pending[] = [];
    let retryable = 0;
    for (const [index, pending] of batch.entries()) {
      const error = failures.get(index);
      if (pending.task.lost) continue;
      if (error === undefined) this.#taken(pending);
      else if (error.retryable) again[retryable++] = pending;
      else this.#options.onLost([pending.task], error);
    }
    this.#failures = retryable === 0 ? 0 : this.#failures + 1;
    this.#pending = [...again, ...this.#pending];
  }

  #taken({ task, done }: Pending): void {
    if (task.lost) return;
    done?.();
    this.#options.onSettled(task);
  }

  #retryMs(): number {
    return this.#failures === 0 ? 0 : backoffMs(this.#failures, this.#options.reconnect, this.#options.random);
  }
}

function countRejects(all: readonly Pending[]): number {
  let count = 0;
  for (const { action } of all) if (action === 'reject') count += 1;
  return count;
}
