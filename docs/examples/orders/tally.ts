import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus, DeadLetter, ObserveEvent, QueueContract } from '@waybill/core';

/** What one consumer did, by message id. */
export interface Account {
  readonly handled: Map<string, number>;
  readonly dead: Map<string, number>;
  readonly reasons: Map<string, number>;
  retried: number;
  /** Hand-overs to a newer process, of a version that this one does not know. */
  waited: number;
  redriven: number;
}

const LOOK_EVERY_MS = 50;
/** A second copy of an id that a broker swallowed, or a redrive moved once, never comes. */
const LAST_COPIES_MS = 2_000;
const GIVE_UP_AFTER_MS = 30_000;

/** Accounts for every order at every consumer, from what the bus reports. */
export class Tally {
  readonly accounts: ReadonlyMap<string, Account>;
  /** Copies by id: the same order may be published twice. */
  readonly orders = new Map<string, number>();
  #changedAt = Date.now();

  constructor(queues: readonly string[]) {
    this.accounts = new Map(queues.map((queue) => [queue, newAccount()]));
  }

  get copies(): number {
    return sum(this.orders);
  }

  readonly observe = (event: ObserveEvent): void => {
    if (!('queue' in event)) return;
    const account = this.#account(event.queue);
    this.#changedAt = Date.now();
    if (event.name === 'handled' && event.outcome === 'accepted') add(account.handled, event.id);
    else if (event.name === 'retry-scheduled') account.retried += 1;
    else if (event.name === 'waits') account.waited += 1;
    else if (event.name === 'redriven') account.redriven += event.count;
    else if (event.name === 'dead-lettered') {
      add(account.dead, event.id);
      add(account.reasons, event.reason);
    }
  };

  published(id: string): void {
    add(this.orders, id);
  }

  /** These are about to be redriven. */
  reopen(letters: readonly DeadLetter[]): void {
    for (const { queue, id } of letters) this.#account(queue).dead.delete(id);
  }

  /** Orders that came twice, or were published twice: the handler tells them apart, where the broker has not yet. */
  duplicates(queue: string): number {
    const { handled } = this.#account(queue);
    return [...handled].reduce((total, [id, times]) => total + Math.max(times, this.orders.get(id) ?? 0) - 1, 0);
  }

  /** How many ids are dead letters now. */
  deadOf(queue: string): number {
    return this.#account(queue).dead.size;
  }

  /** Ids that were published and neither handled nor kept as a letter. */
  lost(queue: string, letters: readonly DeadLetter[]): readonly string[] {
    const kept = new Set(letters.filter((letter) => letter.queue === queue).map((letter) => letter.id));
    const { handled } = this.#account(queue);
    return [...this.orders.keys()].filter((id) => !handled.has(id) && !kept.has(id));
  }

  /** Resolves once every copy is handled or dead at every consumer; or, with some missing, when nothing moves any more. */
  async settled(): Promise<void> {
    this.#changedAt = Date.now();
    for (;;) {
      const { copies, ids } = this.#open();
      const idleMs = Date.now() - this.#changedAt;
      if (copies === 0 || (ids === 0 && idleMs > LAST_COPIES_MS) || idleMs > GIVE_UP_AFTER_MS) return;
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** How far things are. */
  readonly line = (): string => {
    const parts = [...this.accounts].map(([queue, { handled, dead }]) => {
      const letters = dead.size === 0 ? '' : `, ${dead.size} dead`;
      return `${queue} ${sum(handled)}/${this.copies}${letters}`;
    });
    const accounts = [...this.accounts.values()];
    const retries = accounts.reduce((total, { retried }) => total + retried, 0);
    const waits = accounts.reduce((total, { waited }) => total + waited, 0);
    const waiting = waits === 0 ? [] : [`${waits} waits for a newer consumer`];
    return [...parts, `${retries} retries`, ...waiting].join('   ');
  };

  #open(): { readonly copies: number; readonly ids: number } {
    let copies = 0;
    let ids = 0;
    for (const { handled, dead } of this.accounts.values()) {
      for (const [id, count] of this.orders) {
        const done = (handled.get(id) ?? 0) + (dead.get(id) ?? 0);
        copies += Math.max(count - done, 0);
        if (done === 0) ids += 1;
      }
    }
    return { copies, ids };
  }

  #account(queue: string): Account {
    const account = this.accounts.get(queue);
    if (account === undefined) throw new Error(`There is no consumer "${queue}".`);
    return account;
  }
}

/** A queue's dead letters. One is reported when it is decided and stored a moment later, so `expected` are waited for. */
export async function lettersOf(bus: Bus, queue: QueueContract, expected: number): Promise<readonly DeadLetter[]> {
  for (const until = Date.now() + 10_000; ; await sleep(LOOK_EVERY_MS)) {
    const letters: DeadLetter[] = [];
    for await (const letter of bus.deadLetters(queue)) letters.push(letter);
    if (letters.length >= expected || Date.now() > until) return letters;
  }
}

export function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function newAccount(): Account {
  return { handled: new Map(), dead: new Map(), reasons: new Map(), retried: 0, waited: 0, redriven: 0 };
}
