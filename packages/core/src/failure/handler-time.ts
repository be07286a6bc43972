import type { Clock } from '../driver/clock.ts';
import { type Placed, Roster } from '../driver/roster.ts';

/** After its signal aborted, a handler has this long to return before its attempt is judged without it. */
const GRACE_MS = 10_000;

/** What the watch needs of a running attempt. */
export interface Timed extends Placed {
  /** Epoch ms. */
  readonly startedAt: number;
  abort(): void;
  overrun(): void;
}

/**
 * One timer for all running handlers. They share one time limit, so the order in which they started is the order in
 * which they run out.
 */
export class HandlerWatch {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #running = new Roster<Timed>();
  readonly #aborted = new Map<Timed, number>();
  #cancel: (() => void) | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** It never started before one of an earlier call. */
  start(attempt: Timed): void {
    const dueAt = attempt.startedAt + this.#timeoutMs;
    this.#running.add(attempt);
    // Armed for the end of a grace, or for nothing: else an earlier attempt runs out first.
    if (dueAt < this.#armedFor) this.#arm(dueAt);
  }

  finish(attempt: Timed): void {
    if (!this.#running.delete(attempt)) this.#aborted.delete(attempt);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #check(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    for (const [attempt, dueAt] of this.#aborted) {
      if (dueAt > now) break;
      this.#aborted.delete(attempt);
      attempt.overrun();
    }
    for (const attempt of this.#running) {
      if (attempt.startedAt + this.#timeoutMs > now) break;
      // The end of one may be the end of others.
      if (!this.#running.delete(attempt)) continue;
      this.#aborted.set(attempt, now + GRACE_MS);
      attempt.abort();
    }
    const next = Math.min(this.#firstDueAt(), first(this.#aborted));
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next);
  }

  #firstDueAt(): number {
    const oldest = this.#running.first;
    return oldest === undefined ? Number.POSITIVE_INFINITY : oldest.startedAt + this.#timeoutMs;
  }

  /** The timer is left alone when a handler finishes: it finds nothing due and waits for the next. */
  #arm(dueAt: number): void {
    this.#cancel?.();
    this.#armedFor = dueAt;
    this.#cancel = this.#clock.after(dueAt - this.#clock.now(), () => this.#check());
  }
}

function first(attempts: ReadonlyMap<Timed, number>): number {
  for (const dueAt of attempts.values()) return dueAt;
  return Number.POSITIVE_INFINITY;
}
