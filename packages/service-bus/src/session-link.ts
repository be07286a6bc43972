import type { ServiceBusReceivedMessage, ServiceBusSessionReceiver } from '@azure/service-bus';
import { byDeadline, type Delivery, systemClock } from '@waybill/core/driver';
import { failAnswers, type Link, linkOfSession } from './client-parts.ts';
import { fromServiceBusMessage } from './from-service-bus-message.ts';
import type { ClientLife } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import { SessionNote } from './session-note.ts';

const DRAIN_MS = 2_000;

export interface SessionEvents {
  arrived(session: SessionLink, delivery: Delivery): void;
  /** Its first message was handed over: others may come. */
  judged(session: SessionLink): void;
  lost(session: SessionLink, cause: unknown): void;
}

export interface SessionSettings {
  readonly queue: string;
  readonly leaseMs: number;
}

/** A session whose lock this process has: all messages of one key, in order, and only here. */
export class SessionLink {
  readonly life: ClientLife;
  readonly receiver: ServiceBusSessionReceiver;
  readonly since: number = systemClock.now();
  readonly held: Set<Delivery> = new Set();
  /** Takes no more; closes once nothing of it is held. */
  ending = false;
  /** Whether something that was handed out of it, or would have been, is for the next holder. */
  returns = false;
  lastActive: number = systemClock.now();
  readonly #settings: SessionSettings;
  readonly #events: SessionEvents;
  readonly #link: Link | undefined;
  readonly #note: SessionNote;
  /** A life has many sessions, one after the other, and would keep them all. */
  readonly #leaveLife: () => void;
  #lockedUntil: number;
  #renewing: Promise<number> | undefined;
  #judging: ServiceBusReceivedMessage[] | undefined;
  #isFirst = true;
  #draining: Promise<void> | undefined;
  #over = false;

  constructor(life: ClientLife, receiver: ServiceBusSessionReceiver, settings: SessionSettings, events: SessionEvents) {
    this.life = life;
    this.receiver = receiver;
    this.#settings = settings;
    this.#events = events;
    this.#note = new SessionNote(life, receiver);
    this.#lockedUntil = this.#local(receiver.sessionLockedUntilUtc);
    this.#link = linkOfSession(receiver);
    const closed = (): void => this.lose(new Error('the broker ended the session'));
    this.#link?.once('receiver_close', closed);
    this.#link?.once('session_close', closed);
    this.#leaveLife = life.onLost((cause) => this.lose(cause));
  }

  get id(): string {
    return this.receiver.sessionId;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Nothing of it is here, nor was for so long; the first message has longer to come. */
  isIdle(ms: number, firstMs: number): boolean {
    if (this.held.size > 0 || this.#judging !== undefined) return false;
    return systemClock.now() - this.lastActive >= (this.#isFirst ? firstMs : ms);
  }

  /** What it takes of the window: what it holds, and what may come any moment. */
  get taken(): number {
    const waiting = this.#judging?.length ?? 0;
    return this.#over ? 0 : this.held.size + waiting + (this.#link?.credit ?? 0);
  }

  /** Messages may come from now on, at first one: it is judged before others are asked for. */
  start(): void {
    this.receiver.subscribe(
      {
        processMessage: (message) => {
          this.#take(message);
          // One that ends would let the client give credit.
          return new Promise(() => undefined);
        },
        processError: async ({ error, errorSource }) => {
          if (errorSource === 'receive') this.lose(error);
        },
      },
      { autoCompleteMessages: false, maxConcurrentCalls: 1 },
    );
  }

  /** Credit up to `window` messages of it, no more than `room`. */
  grant(window: number, room: number): void {
    const link = this.#link;
    if (this.#over || this.ending || this.#isFirst || this.#draining || link === undefined || !link.isOpen()) return;
    const wanted = Math.min(window - this.taken, room);
    // In lots: a flow for each message would be a frame for each.
    if (wanted > 0 && (link.credit === 0 || wanted >= window / 2)) link.addCredit(wanted);
  }

  /** The end of the renewed lock, 0 when it is lost; rejects when the broker could not be asked. */
  renew(): Promise<number> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  /** Takes unused credit back. */
  drain(): Promise<void> {
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
    });
    return this.#draining;
  }

  async #drain(): Promise<void> {
    const link = this.#link;
    if (this.#over || link === undefined || !link.isOpen() || link.credit <= 0) return;
    const drained = new Promise<void>((resolve) => {
      link.once('receiver_drained', resolve);
    });
    link.drainCredit();
    await byDeadline(systemClock.now() + DRAIN_MS, this.life.whileAlive(drained));
    link.drain = false;
  }

  /** Lets the session go: what was not settled is the next holder's, first to last. */
  async close(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#leaveLife();
    try {
      await this.#note.leave(this.returns || this.held.size > 0 || this.#judging !== undefined);
    } finally {
      await this.life.whileAlive(this.receiver.close());
    }
  }

  lose(cause: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#leaveLife();
    failAnswers(this.receiver, this.life.lost ?? (cause as Error));
    this.#events.lost(this, cause);
    this.receiver.close().catch(() => undefined);
  }

  #take(message: ServiceBusReceivedMessage): void {
    this.lastActive = systemClock.now();
    if (this.#judging !== undefined) this.#judging.push(message);
    else if (this.#isFirst) void this.#judge(message);
    else this.#hand(message, 0);
  }

  /** The broker counts no delivery when the holder of a session dies; a note in the session does. */
  async #judge(message: ServiceBusReceivedMessage): Promise<void> {
    this.#judging = [message];
    try {
      const head = message.sequenceNumber?.toString() ?? '';
      const uncounted = await this.#note.enter(head, message.deliveryCount ?? 0);
      const [first, ...others] = this.#judging;
      this.#judging = undefined;
      this.#isFirst = false;
      if (this.#over) return;
      this.#hand(first as ServiceBusReceivedMessage, uncounted);
      for (const other of others) this.#hand(other, 0);
      this.#events.judged(this);
    } catch (cause) {
      this.#judging = undefined;
      this.lose(cause);
    }
  }

  #hand(message: ServiceBusReceivedMessage, uncounted: number): void {
    const now = systemClock.now();
    // A session that is busy for long has deliveries that are short.
    if (this.#lockedUntil - now < this.#settings.leaseMs / 2) this.renew().catch(() => undefined);
    const origin = { name: this.#settings.queue, leaseUntil: this.#lockedUntil, uncounted };
    const delivery = fromServiceBusMessage(message, origin);
    this.held.add(delivery);
    this.#events.arrived(this, delivery);
  }

  async #renew(): Promise<number> {
    try {
      const { timeoutMs } = this.life;
      const renewing = this.receiver.renewSessionLock();
      this.#lockedUntil = this.#local(await this.life.answered(renewing, timeoutMs, `renew session "${this.id}"`));
      return this.#over ? 0 : this.#lockedUntil;
    } catch (cause) {
      const error = toWaybillError(cause, `renew session "${this.id}"`);
      if (!this.#over && error.code !== 'LEASE_LOST') throw error;
      this.lose(error);
      return 0;
    }
  }

  #local(until: Date): number {
    return Math.min(until.getTime(), systemClock.now() + this.#settings.leaseMs);
  }
}
