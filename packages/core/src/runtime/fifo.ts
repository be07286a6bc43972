/** First in, first out, without moving what waits, and without a new array each time it was empty. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;
  #tail = 0;

  get size(): number {
    return this.#tail - this.#head;
  }

  push(item: T): void {
    this.#items[this.#tail] = item;
    this.#tail += 1;
  }

  peek(): T | undefined {
    return this.#items[this.#head];
  }

  shift(): T | undefined {
    if (this.#head === this.#tail) return undefined;
    const item = this.#items[this.#head];
    // What was taken out is not kept.
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head === this.#tail) this.#head = this.#tail = 0;
    else if (this.#head > 16 && this.#head * 2 > this.#tail) {
      this.#items = this.#items.slice(this.#head, this.#tail);
      this.#tail -= this.#head;
      this.#head = 0;
    }
    return item;
  }

  /** First to last. */
  *[Symbol.iterator](): Generator<T> {
    for (let place = this.#head; place < this.#tail; place += 1) yield this.#items[place] as T;
  }

  clear(): void {
    this.#items = [];
    this.#head = this.#tail = 0;
  }
}
