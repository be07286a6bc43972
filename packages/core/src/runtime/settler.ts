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

interface Pending {
  readonly task: Task;
  readonly settlement: Settlement;
  readonly done: (() => void) | undefined;
}

/** Gathers settlements into the driver's batches: one turn's worth, or what came while a call was open. */
export class Settler {
  readonly #options: SettlerOptions;
  #subscription: Subscription | undefined;
  #pending: Pending[] = [];
  #waiting: Pending[] = [];
  #open = 0;
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
    return this.#pending.length + this.#waiting.length + this.#open;
  }

  /** Those of {@link size} that take a message to the dead lane. */
  get rejects(): number {
    return [...this.#pending, ...this.#waiting].filter(isReject).length + this.#openRejects;
  }

  accept(task: Task): void {
    this.#add(task, { delivery: task.delivery, action: 'accept' });
  }

  release(task: Task): void {
    this.#add(task, { delivery: task.delivery, action: 'release' });
  }

  /** `done` is called once the dead lane has it. */
  reject(task: Task, letter: { readonly reason: string; readonly headers: Headers }, done: () => void): void {
    this.#add(task, { delivery: task.delivery, action: 'reject', ...letter }, done);
  }

  /** Asks the guard again where it said `wait`. */
  poke(): void {
    if (this.#waiting.length === 0) return;
    this.#pending = [...this.#waiting, ...this.#pending];
    this.#waiting = [];
    this.#schedule();
  }

  #add(task: Task, settlement: Settlement, done?: () => void): void {
    this.#pending.push({ task, settlement, done });
    this.#schedule();
  }

  #schedule(afterMs = 0): void {
    const { limit, clock } = this.#options;
    if (this.#scheduled || this.#open >= limit.concurrency) return;
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
    this.#open += 1;
    this.#openRejects += batch.filter(isReject).length;
    subscription.settle(batch.map((pending) => pending.settlement)).then(
      () => this.#settled(batch, new Map()),
      (error: unknown) => this.#settled(batch, failuresOf(batch.length, error, 'Settling')),
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

  #settled(batch: readonly Pending[], failures: ReadonlyMap<number, WaybillError>): void {
    this.#open -= 1;
    this.#openRejects -= batch.filter(isReject).length;
    if (failures.size === 0) {
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

const isReject = ({ settlement }: Pending): boolean => settlement.action === 'reject';
