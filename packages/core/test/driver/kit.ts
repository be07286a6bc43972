import type { Clock } from '../../src/driver/index.ts';

interface Timer {
  readonly dueAt: number;
  readonly run: () => void;
}

/** A clock that stands still until it is told to go on, and shows its timers. */
export class StillClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now: number;
  /** Timers that were ever set. */
  set = 0;

  constructor(start: number = Date.UTC(2026, 0, 1)) {
    this.#now = start;
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    this.set += 1;
    const timer = { dueAt: this.#now + Math.max(ms, 0), run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Runs what comes due within `ms`, each at its own time, and then shows `ms` more. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let timer = this.#next(); timer !== undefined && timer.dueAt <= end; timer = this.#next()) {
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, timer.dueAt);
      timer.run();
    }
    this.#now = end;
  }

  /** Lets the first timer run `ms` before its time, as timers of a system do. */
  fireEarly(ms: number): void {
    const timer = this.#next();
    if (timer === undefined) throw new Error('no timer waits');
    this.#timers.delete(timer);
    this.#now = timer.dueAt - ms;
    timer.run();
  }

  /** Shows another time; timers keep their distance, as those of a system do. */
  jump(ms: number): void {
    const moved = [...this.#timers].map((timer) => ({ ...timer, dueAt: timer.dueAt + ms }));
    this.#timers.clear();
    for (const timer of moved) this.#timers.add(timer);
    this.#now += ms;
  }

  #next(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (first === undefined || timer.dueAt < first.dueAt) first = timer;
    return first;
  }
}
