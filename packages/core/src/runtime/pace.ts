/** Keeps the least time between two calls, over all lanes. */
export class Pace {
  readonly #everyMs: number;
  readonly #most: number;
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(everyMs: number, callers: number) {
    this.#everyMs = everyMs;
    this.#most = everyMs * callers;
  }

  /** Takes the next place; resolves to how long to wait for it, in ms. */
  take(now: number): number {
    if (this.#everyMs === 0) return 0;
    // A clock that went back must not make anybody wait for it.
    const at = this.#nextAt > now + this.#most ? now : Math.max(now, this.#nextAt);
    this.#nextAt = at + this.#everyMs;
    return at - now;
  }
}
