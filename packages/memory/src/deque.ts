const SMALLEST = 4;
/** An emptied ring above this is given back to the heap. */
const LARGEST_KEPT = 4_096;

/** A double-ended queue on a ring: constant time at both ends and by index. */
export class Deque<T> {
  #slots: (T | undefined)[] = Array.from({ length: SMALLEST });
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  at(index: number): T | undefined {
    return index < this.#length ? this.#slots[(this.#head + index) & (this.#slots.length - 1)] : undefined;
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item;
    this.#length += 1;
  }

  unshift(item: T): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#head = (this.#head - 1) & (this.#slots.length - 1);
    this.#slots[this.#head] = item;
    this.#length += 1;
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length -= 1;
    if (this.#length === 0 && this.#slots.length > LARGEST_KEPT) this.clear();
    return item;
  }

  clear(): void {
    this.#slots = Array.from({ length: SMALLEST });
    this.#head = 0;
    this.#length = 0;
  }

  #grow(): void {
    const slots = [...this.#slots.slice(this.#head), ...this.#slots.slice(0, this.#head)];
    slots.length = this.#slots.length * 2;
    this.#slots = slots;
    this.#head = 0;
  }
}
