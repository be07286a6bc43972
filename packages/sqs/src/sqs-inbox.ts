/** What an inbox needs to know of a delivery. */
export interface Leased {
  readonly leaseUntil: number;
  readonly group?: string | undefined;
}

/**
 * What polls brought and nobody has received yet, in the order in which it came. It is kept, not given back: each
 * hand-out counts, and a message that is given back often looks like one that kills its process.
 */
export class SqsInbox<T extends Leased> {
  #waiting: T[] = [];

  get size(): number {
    return this.#waiting.length;
  }

  push(deliveries: readonly T[]): void {
    this.#waiting.push(...deliveries);
  }

  /** The next `max` that are still ours. Of the others the lease is over: they come again. */
  take(max: number, now: number): readonly T[] {
    if (this.#waiting.length === 0) return this.#waiting.slice();
    const taken: T[] = [];
    let seen = 0;
    for (; seen < this.#waiting.length && taken.length < max; seen += 1) {
      const delivery = this.#waiting[seen] as T;
      if (delivery.leaseUntil > now) taken.push(delivery);
    }
    this.#waiting = seen === this.#waiting.length ? [] : this.#waiting.slice(seen);
    return taken;
  }

  /** Takes out what is of these groups, in its order. */
  takeGroups(groups: ReadonlySet<string>): readonly T[] {
    const isOf = ({ group }: T): boolean => group !== undefined && groups.has(group);
    const taken = this.#waiting.filter(isOf);
    if (taken.length > 0) this.#waiting = this.#waiting.filter((delivery) => !isOf(delivery));
    return taken;
  }

  /** Takes out everything. */
  clear(): readonly T[] {
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }
}
