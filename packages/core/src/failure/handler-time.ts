import type { Clock } from '../driver/clock.ts';

/** After its signal aborted, a handler has this long to return before its attempt is judged without it. */
const GRACE_MS = 10_000;

/** What the watch needs of a running attempt. */
export interface Timed {
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
  readonly #running = new Map<Timed, number>();
  readonly #aborted = new Map<Timed, number>();
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  start(attempt: Timed): void {
    this.#running.set(attempt, this.#clock.now() + this.#timeoutMs);
    if (this.#cancel === undefined) this.#arm();
  }

  finish(attempt: Timed): void {
    if (!this.#running.delete(attempt)) this.#aborted.delete(attempt);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #check(): void {
    this.#cancel = undefined;
    const now = this.#clock.now();
    for (const [attempt, dueAt] of this.#aborted) {
      if (dueAt > now) break;
      this.#aborted.delete(attempt);
      attempt.overrun();
    }
    for (const [attempt, dueAt] of this.#running) {
      if (dueAt > now) break;
      this.#running.delete(attempt);
      this.#aborted.set(attempt, now + GRACE_MS);
      attempt.abort();
    }
    this.#arm();
  }

  /** The timer is left alone when a handler finishes: it finds nothing due and waits for the next. */
  #arm(): void {
    const next = Math.min(first(this.#running), first(this.#aborted));
    if (next === Number.POSITIVE_INFINITY) return;
    this.#cancel = this.#clock.after(next - this.#clock.now(), () => this.#check());
  }
}

function first(attempts: ReadonlyMap<Timed, number>): number {
  for (const dueAt of attempts.values()) return dueAt;
  return Number.POSITIVE_INFINITY;
}
