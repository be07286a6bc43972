import type { Content } from './amqp.ts';
import { type Entry, type Lock, newToken, received } from './entry.ts';
import { EntryTable } from './entry-table.ts';
import type { MailboxLog } from './mailbox-log.ts';
import type { Consumer, Disposition, EnqueueOptions, MailboxOwner } from './mailbox-parts.ts';
import { OrderedEntries } from './ordered-entries.ts';
import { lockLost, messageNotFound, notAllowed, sessionLockLost } from './problem.ts';
import { Sessions } from './sessions.ts';

/** The messages of a queue, a subscription, or one of their dead letter queues. */
export class Mailbox {
  readonly sessions: Sessions;
  readonly #owner: MailboxOwner;
  readonly #table: EntryTable;
  /** Messages to hand out, by session where there are sessions. */
  readonly #lanes = new Map<string, OrderedEntries>();
  readonly #consumers = new Set<Consumer>();
  #pumping = false;

  constructor(owner: MailboxOwner, log: MailboxLog) {
    this.#owner = owner;
    this.#table = new EntryTable(log);
    this.sessions = new Sessions({
      lockMs: () => owner.settings().lockMs,
      hasMessages: (id) => this.#lane(id).size > 0,
      released: (id, counts) => this.#table.lockedIn(id).forEach((entry) => this.#unlock(entry, counts ? 1 : 0)),
      changed: () => this.pump(),
      due: (at) => this.#table.dueAt(at),
      stateChanged: (id, state) => log.sessionState(id, state),
    });
  }

  /** Of messages to receive, locked ones and deferred ones too. */
  get activeCount(): number {
    return this.#table.size - this.#table.scheduledCount;
  }

  get scheduledCount(): number {
    return this.#table.scheduledCount;
  }

  enqueue(content: Content, options: EnqueueOptions = {}): void {
    if (this.#owner.passOn(content)) {
      return;
    }
    const enqueuedAt = options.enqueuedAt ?? Date.now();
    const timeToLive = Math.min(content.ttl ?? Infinity, this.#owner.settings().timeToLiveMs);
    const entry = this.#table.add({
      ...(options.firstSequence === undefined ? {} : { firstSequence: options.firstSequence }),
      content: received(content),
      state: 'active',
      deliveryCount: options.deliveryCount ?? 0,
      enqueuedAt,
      expiresAt: enqueuedAt + timeToLive,
      sessionId: content.group_id,
    });
    this.#table.watchExpiry(entry);
    this.#makeAvailable(entry);
  }

  /** Returns the number by which it can be cancelled. */
  schedule(content: Content, at: number): number {
    const entry = this.#table.add({
      content: received(content),
      state: 'scheduled',
      deliveryCount: 0,
      enqueuedAt: Date.now(),
      expiresAt: Infinity,
      sessionId: content.group_id,
      scheduledAt: at,
    });
    return entry.sequence;
  }

  /** Throws where one of them is not scheduled, and cancels none then. */
  cancelScheduled(sequences: readonly number[]): void {
    this.#all(sequences, 'scheduled').forEach((entry) => this.#table.remove(entry));
  }

  /** Puts messages back that a journal told of; `lastSequence` was given out before. */
  restore(entries: readonly Entry[], lastSequence: number): void {
    this.#table.restore(entries, lastSequence);
    for (const entry of entries) {
      if (entry.lock !== undefined && !this.#owner.settings().requiresSession) {
        this.#table.lock(entry, entry.lock);
      } else if (entry.state === 'active' || entry.state === 'locked') {
        this.#table.unlock(entry, 'active');
        this.#makeAvailable(entry);
      } else {
        this.#table.watchExpiry(entry);
      }
    }
  }

  /** All messages and the last number that was given out, for a journal that begins anew. */
  contents(): { readonly entries: readonly Entry[]; readonly lastSequence: number } {
    return { entries: this.#table.all(), lastSequence: this.#table.lastSequence };
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
      this.#pumpSessions();
      return;
    }
    const lane = this.#lane('');
    let handedOut = true;
    while (handedOut && lane.size > 0) {
      handedOut = false;
      const round = [...this.#consumers];
      for (const consumer of round) {
        if (!this.#handOut(lane, consumer)) continue;
        handedOut = true;
        // The next message is for the one that has waited longest.
        this.#consumers.delete(consumer);
        this.#consumers.add(consumer);
      }
    }
  }

  /** Throws a `Problem` when the lock is gone. What it did is written down when it returns. */
  settle(token: Buffer, disposition: Disposition): void {
    const entry = this.#holding(token);
    switch (disposition.kind) {
      case 'complete':
        this.#table.remove(entry);
        break;
      case 'release':
        this.#unlock(entry, 0);
        break;
      case 'abandon':
        this.#table.modify(entry, disposition.properties);
        this.#unlock(entry, 1);
        break;
      case 'defer':
        this.#table.modify(entry, disposition.properties);
        this.#table.unlock(entry, 'deferred');
        break;
      case 'dead-letter':
        if (this.#owner.deadLetter === undefined) {
          throw notAllowed('A message of a dead letter queue cannot be dead-lettered.');
        }
        this.#table.remove(entry);
        this.#owner.deadLetter(entry, disposition);
        break;
    }
    this.#table.flush();
  }

  /** Returns until when the lock holds now. */
  renew(token: Buffer): number {
    const until = Date.now() + this.#owner.settings().lockMs;
    this.#table.renew(this.#holding(token), until);
    return until;
  }

  /** Locks deferred messages, or removes them when `deletes`. Throws where one is not deferred. */
  receiveDeferred(sequences: readonly number[], deletes: boolean): Entry[] {
    const entries = this.#all(sequences, 'deferred');
    for (const entry of entries) {
      if (deletes) {
        this.#table.remove(entry);
      } else {
        this.#lock(entry, 'deferred');
      }
    }
    return entries;
  }

  /** Messages from a number on, whatever their state, in order. */
  peek(from: number, count: number, sessionId: string | undefined): Entry[] {
    return this.#table.peek(from, count, sessionId);
  }

  /** Ends what is due: locks, delays, lives. */
  tick(now: number): void {
    if (!this.#table.isDue(now)) {
      return;
    }
    for (const entry of this.#table.dueSchedules(now)) {
      this.#table.remove(entry);
      this.enqueue(entry.content, { firstSequence: entry.sequence });
    }
    if (!this.#owner.settings().requiresSession) {
      this.#table.dueLocks(now).forEach((entry) => this.#unlock(entry, 1));
    }
    this.sessions.tick(now);
    for (const entry of this.#table.expired(now)) {
      this.#lane(this.#laneOf(entry)).remove(entry);
      this.#expire(entry);
    }
  }

  #pumpSessions(): void {
    this.sessions.grantWaiting();
    for (const [id, holder] of this.sessions.holders()) {
      const lane = this.#lane(id);
      while (this.#handOut(lane, holder)) {
        // Until its credit or the messages of its session are used up.
      }
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
    if (entry.expiresAt <= Date.now()) {
      this.#expire(entry);
      return true;
    }
    if (consumer.deletes) {
      this.#table.remove(entry);
    } else {
      this.#lock(entry, 'active');
    }
    consumer.deliver(entry);
    return true;
  }

  #expire(entry: Entry): void {
    this.#table.remove(entry);
    if (this.#owner.settings().deadLettersExpired) {
      const description = 'The message expired and was dead lettered.';
      this.#owner.deadLetter?.(entry, { reason: 'TTLExpiredException', description });
    }
  }

  #lock(entry: Entry, returnsTo: Lock['returnsTo']): void {
    const { lockMs, requiresSession } = this.#owner.settings();
    const sessionUntil = requiresSession ? this.sessions.lockedUntil(entry.sessionId ?? '') : undefined;
    this.#table.lock(entry, { token: newToken(), until: sessionUntil ?? Date.now() + lockMs, returnsTo });
  }

  #unlock(entry: Entry, failures: number): void {
    const returnsTo = entry.lock?.returnsTo ?? 'active';
    entry.deliveryCount += failures;
    const { maxDeliveries } = this.#owner.settings();
    if (failures > 0 && entry.deliveryCount >= maxDeliveries) {
      this.#table.remove(entry);
      const description = `Message could not be consumed after ${maxDeliveries} delivery attempts.`;
      this.#owner.deadLetter?.(entry, { reason: 'MaxDeliveryCountExceeded', description });
      return;
    }
    this.#table.unlock(entry, returnsTo);
    if (returnsTo === 'active') {
      this.#makeAvailable(entry);
    }
  }

  #makeAvailable(entry: Entry): void {
    this.#lane(this.#laneOf(entry)).add(entry);
    if (this.#owner.settings().requiresSession) {
      this.sessions.hasNow(entry.sessionId ?? '');
    }
    this.pump();
  }

  #holding(token: Buffer): Entry {
    const entry = this.#table.findLocked(token);
    if (entry === undefined) {
      throw this.#owner.settings().requiresSession ? sessionLockLost() : lockLost();
    }
    return entry;
  }

  #all(sequences: readonly number[], state: Entry['state']): Entry[] {
    return sequences.map((sequence) => {
      const entry = this.#table.find(sequence);
      if (entry?.state !== state) {
        throw messageNotFound();
      }
      return entry;
    });
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
}
