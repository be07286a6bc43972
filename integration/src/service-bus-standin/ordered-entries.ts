import type { Entry } from './entry.ts';

/** Messages by sequence number. Most come at the end and go from the front. */
export class OrderedEntries {
  #entries: Entry[] = [];
  #first = 0;

  get size(): number {
    return this.#entries.length - this.#first;
  }

  add(entry: Entry): void {
    let low = this.#first;
    let high = this.#entries.length;
    if (high > low && (this.#entries[high - 1]?.sequence ?? 0) < entry.sequence) {
      low = high;
    }
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle]?.sequence ?? 0) < entry.sequence) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low === this.#first && this.#first > 0) {
      this.#first -= 1;
      this.#entries[this.#first] = entry;
    } else {
      this.#entries.splice(low, 0, entry);
    }
  }

  shift(): Entry | undefined {
    if (this.size === 0) {
      return undefined;
    }
    const entry = this.#entries[this.#first];
    this.#first += 1;
    if (this.#first > 1024 && this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
    return entry;
  }

  remove(entry: Entry): void {
    const index = this.#entries.indexOf(entry, this.#first);
    if (index >= 0) {
      this.#entries.splice(index, 1);
    }
  }
}
