import type { Awaitable } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import type { Driver, Queue } from '../driver/driver.ts';
import { BOOKKEEPING_HEADER } from '../failure/bookkeeping.ts';
import { settledBy } from '../failure/close.ts';
import type { Task } from './task.ts';

/** A broker that does not answer by then keeps nobody waiting: what was asked about counts as bound. */
const ANSWER_MS = 10_000;

/**
 * Where the broker does not filter, tells a type that only a newer process handles from one that nobody bound: the first
 * waits, the second is dropped. A copy was ours once, whatever its type is.
 */
export class BoundTypes {
  readonly #driver: Driver;
  readonly #queue: Queue;
  readonly #clock: Clock;

  constructor(driver: Driver, queue: Queue, clock: Clock) {
    this.#driver = driver;
    this.#queue = queue;
    this.#clock = clock;
  }

  /** Marks those that are unbound, of tasks that were read; later where the broker has to be asked. Never rejects. */
  mark(tasks: readonly Task[]): Awaitable<void> {
    if (this.#driver.capabilities.filtersTypes) return undefined;
    let unknown: Task[] | undefined;
    for (const task of tasks) {
      if (task.poison?.reason !== 'unknown-type' || task.delivery.headers[BOOKKEEPING_HEADER] !== undefined) continue;
      if (this.#driver.boundTypes === undefined) task.unbound = true;
      else (unknown ??= []).push(task);
    }
    return unknown === undefined ? undefined : this.#ask(unknown);
  }

  async #ask(tasks: readonly Task[]): Promise<void> {
    const types = [...new Set(tasks.map(({ type }) => type))];
    let bound = new Set(types);
    const answer = async (): Promise<void> => {
      bound = new Set(await this.#driver.boundTypes?.(this.#queue, types));
    };
    await settledBy(this.#clock, this.#clock.now() + ANSWER_MS, answer());
    for (const task of tasks) task.unbound = !bound.has(task.type);
  }
}
