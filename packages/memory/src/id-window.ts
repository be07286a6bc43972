/** The ids of the last `windowMs`, in two generations: an entry costs no timer and is gone after two windows. */
export class IdWindow {
  readonly #windowMs: number;
  #current: Map<string, number> = new Map();
  #previous: Map<string, number> = new Map();
  #turnedAt = Number.NEGATIVE_INFINITY;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  get size(): number {
    return this.#current.size + this.#previous.size;
  }

  /** Whether the id was new; it is remembered from its first time on, a repetition does not renew it. */
  add(id: string, now: number): boolean {
    if (now - this.#turnedAt >= this.#windowMs) {
      this.#previous = this.#current;
      this.#current = new Map();
      this.#turnedAt = now;
    }
    const seenAt = this.#current.get(id) ?? this.#previous.get(id);
    if (seenAt !== undefined && now - seenAt < this.#windowMs) return false;
    this.#current.set(id, now);
    return true;
  }
}
