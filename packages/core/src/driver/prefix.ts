interface Slot<T> {
  readonly value: T;
  done: boolean;
}

/**
 * The contiguous finished prefix of things opened in order and finished in any: coalesced acks, commits. Memory is that
 * of the oldest unfinished one and what came after it.
 */
export class Prefix<T> {
  #slots: Slot<T>[] = [];
  #start = 0;
  #last: { readonly value: T } | undefined;

  /** Opened and not yet behind the prefix. */
  get size(): number {
    return this.#slots.length - this.#start;
  }

  /** Opens the next one; call the result once it is finished. */
  open(value: T): () => void {
    const slot: Slot<T> = { value, done: false };
    this.#slots.push(slot);
    return () => {
      slot.done = true;
    };
  }

  /** The last value of the finished prefix, once: undefined when it did not grow since the last call. */
  take(): T | undefined {
    while (this.#start < this.#slots.length && this.#slots[this.#start]?.done === true) {
      this.#last = this.#slots[this.#start] as Slot<T>;
      this.#start += 1;
    }
    if (this.#start > 64 && this.#start * 2 > this.#slots.length) {
      this.#slots = this.#slots.slice(this.#start);
      this.#start = 0;
    }
    const last = this.#last;
    this.#last = undefined;
    return last?.value;
  }
}
