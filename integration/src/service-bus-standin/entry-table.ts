import type { Entry, EntryState, Lock } from './entry.ts';
import type { MailboxLog } from './mailbox-log.ts';

/** All messages of a mailbox in the order of their numbers, and what is due when. Writes down every change. */
export class EntryTable {
  readonly #log: MailboxLog;
  readonly #entries = new Map<number, Entry>();
  readonly #locked = new Map<string, Entry>();
  readonly #scheduled = new Set<Entry>();
  readonly #expiring = new Set<Entry>();
  #lastSequence = 0;
  #nextDue = Infinity;

  constructor(log: MailboxLog) {
    this.#log = log;
  }

  get size(): number {
    return this.#entries.size;
  }

  get scheduledCount(): number {
    return this.#scheduled.size;
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  all(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  find(sequence: number): Entry | undefined {
    return this.#entries.get(sequence);
  }

  findLocked(token: Buffer): Entry | undefined {
    return this.#locked.get(token.toString('hex'));
  }

  /** Gives a message the next number. */
  add(rest: Omit<Entry, 'sequence'>): Entry {
    this.#lastSequence += 1;
    const entry = { ...rest, sequence: this.#lastSequence };
    this.#entries.set(entry.sequence, entry);
    this.#watchSchedule(entry);
    this.#log.put(entry);
    return entry;
  }

  /** Puts messages back that a journal told of; `lastSequence` was given out before. */
  restore(entries: readonly Entry[], lastSequence: number): void {
    this.#lastSequence = lastSequence;
    for (const entry of entries) {
      this.#entries.set(entry.sequence, entry);
      this.#watchSchedule(entry);
    }
  }

  remove(entry: Entry): void {
    this.#entries.delete(entry.sequence);
    this.#scheduled.delete(entry);
    this.#expiring.delete(entry);
    this.#locked.delete(keyOf(entry.lock));
    this.#log.drop(entry);
  }

  lock(entry: Entry, lock: Lock): void {
    entry.lock = lock;
    entry.state = 'locked';
    this.#expiring.delete(entry);
    this.#locked.set(keyOf(lock), entry);
    this.#log.change(entry);
    this.dueAt(lock.until);
  }

  renew(entry: Entry, until: number): void {
    if (entry.lock !== undefined) {
      entry.lock.until = until;
      this.#log.change(entry);
    }
  }

  /** Takes the lock away and, from then on, lets it expire. */
  unlock(entry: Entry, state: EntryState): void {
    this.#locked.delete(keyOf(entry.lock));
    delete entry.lock;
    entry.state = state;
    this.#log.change(entry);
    this.watchExpiry(entry);
  }

  /** Puts properties on a message, if there are any. */
  modify(entry: Entry, properties: Readonly<Record<string, unknown>> | undefined): void {
    if (properties === undefined) {
      return;
    }
    const merged = { ...entry.content.application_properties, ...properties };
    entry.content = { ...entry.content, application_properties: merged };
    this.#log.put(entry);
  }

  watchExpiry(entry: Entry): void {
    if (entry.expiresAt !== Infinity) {
      this.#expiring.add(entry);
      this.dueAt(entry.expiresAt);
    }
  }

  /** Messages from a number on, whatever their state, in order. */
  peek(from: number, count: number, sessionId: string | undefined): Entry[] {
    const found: Entry[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.sequence >= from && (sessionId === undefined || entry.sessionId === sessionId)) {
        found.push(entry);
        if (found.length === count) {
          break;
        }
      }
    }
    return found;
  }

  lockedIn(sessionId: string): Entry[] {
    return [...this.#locked.values()].filter((entry) => entry.sessionId === sessionId);
  }

  dueAt(at: number): void {
    this.#nextDue = Math.min(this.#nextDue, at);
  }

  /** Whether something is due. What is not must tell its time again. */
  isDue(now: number): boolean {
    const isDue = now >= this.#nextDue;
    if (isDue) {
      this.#nextDue = Infinity;
    }
    return isDue;
  }

  /** Scheduled messages whose time has come, the earliest first. */
  dueSchedules(now: number): Entry[] {
    const due = this.#due(this.#scheduled, (entry) => entry.scheduledAt ?? 0, now);
    return due.toSorted((left, right) => (left.scheduledAt ?? 0) - (right.scheduledAt ?? 0));
  }

  dueLocks(now: number): Entry[] {
    return this.#due(this.#locked.values(), (entry) => entry.lock?.until ?? 0, now);
  }

  expired(now: number): Entry[] {
    return this.#due(this.#expiring, (entry) => entry.expiresAt, now);
  }

  flush(): void {
    this.#log.flush();
  }

  #due(entries: Iterable<Entry>, timeOf: (entry: Entry) => number, now: number): Entry[] {
    const due: Entry[] = [];
    for (const entry of entries) {
      if (timeOf(entry) > now) {
        this.dueAt(timeOf(entry));
      } else {
        due.push(entry);
      }
    }
    return due;
  }

  #watchSchedule(entry: Entry): void {
    if (entry.state === 'scheduled') {
      this.#scheduled.add(entry);
      this.dueAt(entry.scheduledAt ?? 0);
    }
  }
}

function keyOf(lock: Lock | undefined): string {
  return lock?.token.toString('hex') ?? '';
}
