import { type Clock, systemClock } from './clock.ts';

interface Entry<T> {
  readonly dueAt: number;
  readonly order: number;
  readonly item: T;
}

/** Many due times on one timer: a binary heap, ties in the order they were set. The timer keeps no process alive. */
export class Alarm<T> {
  readonly #ring: (items: readonly T[]) => void;
  readonly #heap: Entry<T>[] = [];
  readonly #clock: Clock;
  #cancel: (() => void) | undefined;
  #armedFor = Number.POSITIVE_INFINITY;
  #order = 0;

  /** `ring` gets what is due, earliest first, never before its time by the clock. */
  constructor(ring: (items: readonly T[]) => void, clock: Clock = systemClock) {
    this.#ring = ring;
    this.#clock = clock;
  }

  get size(): number {
    return this.#heap.length;
  }

  set(dueAt: number, item: T): void {
    this.#heap.push({ dueAt, order: this.#order++, item });
    this.#siftUp(this.#heap.length - 1);
    this.#arm();
  }

  /** Takes out everything, due or not, earliest first. */
  clear(): readonly T[] {
    const items: T[] = [];
    while (this.#heap.length > 0) items.push(this.#pop().item);
    this.#arm();
    return items;
  }

  #fire(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    this.#cancel = undefined;
    const now = this.#clock.now();
    const due: T[] = [];
    while (this.#heap.length > 0 && (this.#heap[0] as Entry<T>).dueAt <= now) due.push(this.#pop().item);
    this.#arm();
    if (due.length > 0) this.#ring(due);
  }

  #arm(): void {
    const next = this.#heap[0]?.dueAt ?? Number.POSITIVE_INFINITY;
    if (next === this.#armedFor) return;
    this.#cancel?.();
    this.#armedFor = next;
    this.#cancel = undefined;
    if (next === Number.POSITIVE_INFINITY) return;
    this.#cancel = this.#clock.after(next - this.#clock.now(), () => this.#fire());
  }

  #pop(): Entry<T> {
    const heap = this.#heap;
    const top = heap[0] as Entry<T>;
    const last = heap.pop() as Entry<T>;
    if (heap.length > 0) {
      heap[0] = last;
      this.#siftDown(0);
    }
    return top;
  }

  #siftUp(start: number): void {
    for (let index = start; index > 0;) {
      const parent = (index - 1) >> 1;
      if (!this.#before(index, parent)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #siftDown(start: number): void {
    for (let index = start; ;) {
      let smallest = index;
      for (const child of [2 * index + 1, 2 * index + 2]) {
        if (child < this.#heap.length && this.#before(child, smallest)) smallest = child;
      }
      if (smallest === index) return;
      this.#swap(index, smallest);
      index = smallest;
    }
  }

  #before(left: number, right: number): boolean {
    const a = this.#heap[left] as Entry<T>;
    const b = this.#heap[right] as Entry<T>;
    return a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order);
  }

  #swap(left: number, right: number): void {
    const heap = this.#heap;
    [heap[left], heap[right]] = [heap[right] as Entry<T>, heap[left] as Entry<T>];
  }
}
