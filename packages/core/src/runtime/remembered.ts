import type { Clock } from '../driver/clock.ts';
import type { Bookkeeping } from '../failure/bookkeeping.ts';
import type { Task } from './task.ts';

/** A message that was given back and did not come again by then is somebody else's. */
const REMEMBERED_MS = 60_000;

interface Attempts {
  readonly bookkeeping: Bookkeeping;
  readonly dueAt: number;
}

/** Failed attempts of ordered messages that this process gave back: the broker has the message, and knows nothing of them. */
export class Remembered {
  readonly #attempts = new Map<string, Attempts>();
  readonly #clock: Clock;
  readonly #most: number;

  constructor(clock: Clock, most: number) {
    this.#clock = clock;
    this.#most = most;
  }

  /** Of a message that waits for its next attempt, when it goes back. */
  add({ id, bookkeeping, dueAt }: Task): void {
    if (dueAt === undefined) return;
    this.#attempts.delete(id);
    this.#attempts.set(id, { bookkeeping, dueAt });
    const [oldest] = this.#attempts.keys();
    if (oldest !== undefined && this.#attempts.size > this.#most) this.#attempts.delete(oldest);
  }

  /** It has come again and goes on where it was. */
  restore(task: Task): void {
    const found = this.#attempts.size === 0 ? undefined : this.#attempts.get(task.id);
    if (found === undefined) return;
    this.#attempts.delete(task.id);
    const late = found.dueAt + REMEMBERED_MS < this.#clock.now();
    if (late || task.bookkeeping.attempt > 1) return;
    task.bookkeeping = found.bookkeeping;
    task.dueAt = found.dueAt;
  }
}
