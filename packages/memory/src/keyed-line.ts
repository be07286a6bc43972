import { Deque } from './deque.ts';
import type { Line } from './line.ts';
import { putInOrder, type StoredMessage } from './stored-message.ts';

interface Group {
  readonly key: string;
  readonly ready: Deque<StoredMessage>;
  holder: object | undefined;
  held: number;
  ticket: Ticket | undefined;
}

/** A group's place among those that wait for their turn; void when the group moved elsewhere. */
interface Ticket {
  group: Group | undefined;
}

/** Keys take turns; a key with something unsettled belongs to whoever holds that, as FIFO groups and sessions do. */
export class KeyedLine implements Line {
  readonly #groups: Map<string, Group> = new Map();
  readonly #free: Deque<Ticket> = new Deque();
  readonly #own: Map<object, Deque<Ticket>> = new Map();
  #size = 0;
  #freeFirst = false;

  get size(): number {
    return this.#size;
  }

  push(stored: StoredMessage): void {
    const group = this.#group(stored);
    group.ready.push(stored);
    this.#size += 1;
    this.#line(group);
  }

  take(holder: object): StoredMessage | undefined {
    const group = this.#next(holder);
    const stored = group?.ready.shift();
    if (group === undefined || stored === undefined) return undefined;
    this.#size -= 1;
    group.holder = holder;
    group.held += 1;
    this.#line(group);
    return stored;
  }

  drop(stored: StoredMessage): void {
    const group = this.#group(stored);
    group.held -= 1;
    if (group.held > 0) return;
    group.holder = undefined;
    if (group.ticket !== undefined) group.ticket.group = undefined;
    group.ticket = undefined;
    if (group.ready.length === 0) this.#groups.delete(group.key);
    else this.#line(group);
  }

  putBack(stored: StoredMessage): void {
    putInOrder(this.#group(stored).ready, stored);
    this.#size += 1;
    this.#line(this.#group(stored));
    this.drop(stored);
  }

  forget(holder: object): void {
    this.#own.delete(holder);
  }

  clear(): void {
    this.#free.clear();
    this.#own.clear();
    this.#size = 0;
    for (const group of this.#groups.values()) {
      group.ready.clear();
      group.ticket = undefined;
      if (group.held === 0) this.#groups.delete(group.key);
    }
  }

  /** One turn for a key that the holder has, one for a free key: neither starves the other. */
  #next(holder: object): Group | undefined {
    this.#freeFirst = !this.#freeFirst;
    const own = this.#own.get(holder);
    if (own === undefined) return this.#call(this.#free);
    return this.#freeFirst ? (this.#call(this.#free) ?? this.#call(own)) : (this.#call(own) ?? this.#call(this.#free));
  }

  #call(waiting: Deque<Ticket>): Group | undefined {
    for (let ticket = waiting.shift(); ticket !== undefined; ticket = waiting.shift()) {
      const group = ticket.group;
      if (group === undefined) continue;
      group.ticket = undefined;
      return group;
    }
    return undefined;
  }

  /** Gives a group with ready messages its one place: in its holder's turns or among the free. */
  #line(group: Group): void {
    if (group.ready.length === 0 || group.ticket !== undefined) return;
    group.ticket = { group };
    this.#waiting(group.holder).push(group.ticket);
  }

  #waiting(holder: object | undefined): Deque<Ticket> {
    if (holder === undefined) return this.#free;
    let own = this.#own.get(holder);
    if (own === undefined) this.#own.set(holder, (own = new Deque()));
    return own;
  }

  #group(stored: StoredMessage): Group {
    const key = stored.message.key ?? stored.message.id;
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { key, ready: new Deque(), holder: undefined, held: 0, ticket: undefined };
      this.#groups.set(key, group);
    }
    return group;
  }
}
