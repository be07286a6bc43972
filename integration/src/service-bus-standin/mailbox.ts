import type { Content } from './amqp.ts';
import { type Entry, type Lock, newToken, received } from './entry.ts';
import type { MailboxLog } from './mailbox-log.ts';
import type { DeadLetterCause, MailboxSettings } from './mailbox-settings.ts';
import { OrderedEntries } from './ordered-entries.ts';
import { invalid, lockLost, messageNotFound, notAllowed, type Problem, sessionLockLost } from './problem.ts';
import { type SessionHolder, Sessions } from './sessions.ts';

/** Who gets messages as they come. */
export interface Consumer {
  /** Whether messages are gone once they are handed out. */
  readonly deletes: boolean;
  /** How many more it takes now. */
  credit(): number;
  /** Gets a message with its lock, or without one when it is gone from the mailbox. */
  deliver(entry: Entry): void;
}

/** What happens to messages that leave a mailbox other than by being received. */
export interface MailboxOwner {
  settings(): MailboxSettings;
  /** Called for a message that is gone from the mailbox. None for a dead letter queue itself. */
  deadLetter?(entry: Entry, cause: DeadLetterCause): void;
  /** Takes a scheduled message whose time has come, or a new one; false leaves it to the mailbox. */
  passOn(content: Content): boolean;
}

export type Disposition =
  | { readonly kind: 'complete' | 'release' }
  | { readonly kind: 'abandon' | 'defer'; readonly properties?: Readonly<Record<string, unknown>> }
  | ({ readonly kind: 'dead-letter' } & DeadLetterCause);

interface EnqueueOptions {
  readonly firstSequence?: number;
  readonly deliveryCount?: number;
  readonly enqueuedAt?: number;
}

/** The messages of a queue, a subscription, or one of their dead letter queues. */
export class Mailbox {
  readonly #owner: MailboxOwner;
  readonly #log: MailboxLog;
  readonly #entries = new Map<number, Entry>();
  readonly #lanes = new Map<string, OrderedEntries>();
  readonly #locked = new Map<string, Entry>();
  readonly #scheduled = new Set<Entry>();
  readonly #expiring = new Set<Entry>();
  readonly #consumers = new Set<Consumer>();
  readonly #sessions: Sessions;
  #sequence = 0;
  #nextDue = Infinity;
  #pumping = false;

  constructor(owner: MailboxOwner, log: MailboxLog) {
    this.#owner = owner;
    this.#log = log;
    this.#sessions = new Sessions({
      lockMs: () => owner.settings().lockMs,
      hasMessages: (id) => this.#lane(id).size > 0,
      released: (id, counts) => this.#releaseSession(id, counts),
      changed: () => this.pump(),
      due: (at) => this.#dueAt(at),
      stateChanged: (id, state) => log.sessionState(id, state),
    });
  }

  get sessions(): Sessions {
    return this.#sessions;
  }

  /** Of messages to receive, locked ones and deferred ones too. */
  get activeCount(): number {
    return this.#entries.size - this.#scheduled.size;
  }

  get scheduledCount(): number {
    return this.#scheduled.size;
  }

  enqueue(content: Content, options: EnqueueOptions = {}): void {
    if (this.#owner.passOn(content)) {
      return;
    }
    const enqueuedAt = options.enqueuedAt ?? Date.now();
    const timeToLive = Math.min(content.ttl ?? Infinity, this.#owner.settings().timeToLiveMs);
    const entry: Entry = {
      sequence: this.#nextSequence(),
      ...(options.firstSequence === undefined ? {} : { firstSequence: options.firstSequence }),
      content: received(content),
      state: 'active',
      deliveryCount: options.deliveryCount ?? 0,
      enqueuedAt,
      expiresAt: enqueuedAt + timeToLive,
      sessionId: content.group_id,
    };
    this.#entries.set(entry.sequence, entry);
    this.#log.put(entry);
    this.#makeActive(entry);
  }

  /** Puts messages back that a journal told of. `lastSequence` was given out before. */
  restore(entries: readonly Entry[], lastSequence: number): void {
    this.#sequence = lastSequence;
    for (const entry of entries) {
      this.#entries.set(entry.sequence, entry);
      if (entry.state === 'scheduled') {
        this.#scheduled.add(entry);
        this.#dueAt(entry.scheduledAt ?? 0);
      } else if (entry.state === 'deferred') {
        this.#watchExpiry(entry);
      } else if (entry.lock !== undefined && !this.#owner.settings().requiresSession) {
        this.#locked.set(keyOf(entry.lock), entry);
        this.#dueAt(entry.lock.until);
      } else {
        delete entry.lock;
        this.#makeActive(entry);
      }
    }
  }

  /** All messages and the last number that was given out, for a journal that begins anew. */
  contents(): { readonly entries: readonly Entry[]; readonly lastSequence: number } {
    return { entries: [...this.#entries.values()], lastSequence: this.#sequence };
  }

  /** Returns the number by which it can be cancelled. */
  schedule(content: Content, at: number): number {
    const entry: Entry = {
      sequence: this.#nextSequence(),
      content: received(content),
      state: 'scheduled',
      deliveryCount: 0,
      enqueuedAt: Date.now(),
      expiresAt: Infinity,
      sessionId: content.group_id,
      scheduledAt: at,
    };
    this.#entries.set(entry.sequence, entry);
    this.#scheduled.add(entry);
    this.#log.put(entry);
    this.#dueAt(at);
    return entry.sequence;
  }

  /** Throws where one of them is not scheduled any more; the others stay. */
  cancelScheduled(sequences: readonly number[]): void {
    const entries = sequences.map((sequence) => this.#entries.get(sequence));
    for (const entry of entries) {
      if (entry?.state !== 'scheduled') {
        throw messageNotFound();
      }
      this.#remove(entry);
    }
  }

  addConsumer(consumer: Consumer): void {
    this.#consumers.add(consumer);
    this.pump();
  }

  removeConsumer(consumer: Consumer): void {
    this.#consumers.delete(consumer);
  }

  /** Hands out what consumers have credit for, after the events of this turn. */
  pump(): void {
    if (!this.#pumping) {
      this.#pumping = true;
      setImmediate(() => this.pumpNow());
    }
  }

  pumpNow(): void {
    this.#pumping = false;
    if (this.#owner.settings().requiresSession) {
      this.#sessions.grantWaiting();
      for (const [id, holder] of this.#sessions.holders()) {
        while (this.#handOut(this.#lane(id), holder)) {
          // Until its credit or the messages of its session are used up.
        }
      }
      return;
    }
    const lane = this.#lane('');
    let handedOut = true;
    while (handedOut && lane.size > 0) {
      handedOut = false;
      for (const consumer of this.#consumers) {
        handedOut = this.#handOut(lane, consumer) || handedOut;
      }
    }
  }

  /** Throws a {@link Problem} when the lock is gone. What it did is written down when it returns. */
  settle(token: Buffer, disposition: Disposition): void {
    const entry = this.#holding(token);
    switch (disposition.kind) {
      case 'complete':
        this.#remove(entry);
        break;
      case 'release':
        this.#unlock(entry, 0);
        break;
      case 'abandon':
        this.#modify(entry, disposition.properties);
        this.#unlock(entry, 1);
        break;
      case 'defer':
        this.#modify(entry, disposition.properties);
        this.#locked.delete(keyOf(entry.lock));
        delete entry.lock;
        entry.state = 'deferred';
        this.#log.change(entry);
        this.#watchExpiry(entry);
        break;
      case 'dead-letter':
        if (this.#owner.deadLetter === undefined) {
          throw notAllowed('A message of a dead letter queue cannot be dead-lettered.');
        }
        this.#remove(entry);
        this.#owner.deadLetter(entry, disposition);
        break;
    }
    this.#log.flush();
  }

  /** Returns until when the lock holds now. */
  renew(token: Buffer): number {
    const entry = this.#holding(token);
    const until = Date.now() + this.#owner.settings().lockMs;
    if (entry.lock !== undefined) {
      entry.lock.until = until;
    }
    this.#log.change(entry);
    return until;
  }

  /** Locks deferred messages, or removes them when `deletes`. Throws where one is not deferred. */
  receiveDeferred(sequences: readonly number[], deletes: boolean): Entry[] {
    const entries = sequences.map((sequence) => {
      const entry = this.#entries.get(sequence);
      if (entry?.state !== 'deferred') {
        throw messageNotFound();
      }
      return entry;
    });
    for (const entry of entries) {
      this.#expiring.delete(entry);
      if (deletes) {
        this.#remove(entry);
      } else {
        this.#lock(entry, 'deferred');
      }
    }
    return entries;
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

  /** Ends what is due: locks, delays, lives. */
  tick(now: number): void {
    if (now < this.#nextDue) {
      return;
    }
    this.#nextDue = Infinity;
    this.#activateDue(now);
    this.#unlockDue(now);
    this.#sessions.tick(now);
    for (const entry of this.#expiring) {
      if (entry.expiresAt > now) {
        this.#dueAt(entry.expiresAt);
      } else {
        this.#expire(entry);
      }
    }
  }

  #activateDue(now: number): void {
    const due: Entry[] = [];
    for (const entry of this.#scheduled) {
      const at = entry.scheduledAt ?? 0;
      if (at > now) {
        this.#dueAt(at);
      } else {
        due.push(entry);
      }
    }
    for (const entry of due.toSorted((left, right) => (left.scheduledAt ?? 0) - (right.scheduledAt ?? 0))) {
      this.#remove(entry);
      this.enqueue(entry.content, { firstSequence: entry.sequence });
    }
  }

  #unlockDue(now: number): void {
    for (const entry of this.#locked.values()) {
      const until = entry.lock?.until ?? 0;
      if (this.#owner.settings().requiresSession) {
        continue;
      }
      if (until > now) {
        this.#dueAt(until);
      } else {
        this.#unlock(entry, 1);
      }
    }
  }

  #expire(entry: Entry): void {
    this.#lane(this.#laneOf(entry)).remove(entry);
    this.#remove(entry);
    if (this.#owner.settings().deadLettersExpired) {
      const description = 'The message expired and was dead lettered.';
      this.#owner.deadLetter?.(entry, { reason: 'TTLExpiredException', description });
    }
  }

  #handOut(lane: OrderedEntries, consumer: Consumer): boolean {
    if (consumer.credit() <= 0) {
      return false;
    }
    const entry = lane.shift();
    if (entry === undefined) {
      return false;
    }
    this.#expiring.delete(entry);
    if (entry.expiresAt <= Date.now()) {
      this.#expire(entry);
      return true;
    }
    if (consumer.deletes) {
      this.#remove(entry);
    } else {
      this.#lock(entry, 'active');
    }
    consumer.deliver(entry);
    return true;
  }

  #lock(entry: Entry, returnsTo: Lock['returnsTo']): void {
    const { lockMs, requiresSession } = this.#owner.settings();
    const sessionUntil = requiresSession ? this.#sessions.lockedUntil(entry.sessionId ?? '') : undefined;
    const until = sessionUntil ?? Date.now() + lockMs;
    entry.lock = { token: newToken(), until, returnsTo };
    entry.state = 'locked';
    this.#locked.set(keyOf(entry.lock), entry);
    this.#log.change(entry);
    this.#dueAt(until);
  }

  #unlock(entry: Entry, failures: number): void {
    const returnsTo = entry.lock?.returnsTo ?? 'active';
    this.#locked.delete(keyOf(entry.lock));
    delete entry.lock;
    entry.deliveryCount += failures;
    const { maxDeliveries } = this.#owner.settings();
    if (failures > 0 && entry.deliveryCount >= maxDeliveries) {
      this.#remove(entry);
      const description = `Message could not be consumed after ${maxDeliveries} delivery attempts.`;
      this.#owner.deadLetter?.(entry, { reason: 'MaxDeliveryCountExceeded', description });
    } else if (returnsTo === 'deferred') {
      entry.state = 'deferred';
      this.#log.change(entry);
      this.#watchExpiry(entry);
    } else {
      this.#makeActive(entry);
      this.#log.change(entry);
    }
  }

  #modify(entry: Entry, properties: Readonly<Record<string, unknown>> | undefined): void {
    if (properties !== undefined) {
      const merged = { ...entry.content.application_properties, ...properties };
      entry.content = { ...entry.content, application_properties: merged };
      this.#log.put(entry);
    }
  }

  #releaseSession(id: string, counts: boolean): void {
    for (const entry of this.#locked.values()) {
      if (entry.sessionId === id) {
        this.#unlock(entry, counts ? 1 : 0);
      }
    }
  }

  #makeActive(entry: Entry): void {
    entry.state = 'active';
    this.#lane(this.#laneOf(entry)).add(entry);
    this.#watchExpiry(entry);
    if (this.#owner.settings().requiresSession) {
      this.#sessions.hasNow(entry.sessionId ?? '');
    }
    this.pump();
  }

  #watchExpiry(entry: Entry): void {
    if (entry.expiresAt !== Infinity) {
      this.#expiring.add(entry);
      this.#dueAt(entry.expiresAt);
    }
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.sequence);
    this.#log.drop(entry);
    this.#scheduled.delete(entry);
    this.#expiring.delete(entry);
    this.#locked.delete(keyOf(entry.lock));
  }

  #holding(token: Buffer): Entry {
    const entry = this.#locked.get(token.toString('hex'));
    if (entry === undefined) {
      throw this.#lost();
    }
    return entry;
  }

  #lost(): Problem {
    return this.#owner.settings().requiresSession ? sessionLockLost() : lockLost();
  }

  #laneOf(entry: Entry): string {
    return this.#owner.settings().requiresSession ? (entry.sessionId ?? '') : '';
  }

  #lane(id: string): OrderedEntries {
    let lane = this.#lanes.get(id);
    if (lane === undefined) {
      lane = new OrderedEntries();
      this.#lanes.set(id, lane);
    }
    return lane;
  }

  #nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  #dueAt(at: number): void {
    this.#nextDue = Math.min(this.#nextDue, at);
  }
}

/** Throws for a message without a session in an entity that requires one. */
export function checkSession(content: Content, settings: MailboxSettings): void {
  if (settings.requiresSession && content.group_id === undefined) {
    throw invalid(
      'The SessionId was not set on a message, and it cannot be sent to the entity. Entities that have session support enabled can only receive messages that have the SessionId set to a valid value.',
    );
  }
}

function keyOf(lock: Lock | undefined): string {
  return lock?.token.toString('hex') ?? '';
}

export type { SessionHolder };
