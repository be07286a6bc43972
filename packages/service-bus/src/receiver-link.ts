import type { MessageHandlers, ServiceBusReceivedMessage, ServiceBusReceiver } from '@azure/service-bus';
import { byDeadline, systemClock } from '@waybill/core/driver';
import { failAnswers, handMessages, type Link, type LinkHooks, linkOfReceiver } from './client-parts.ts';
import type { ClientLife } from './service-bus-connection.ts';

/** An idle link has a credit of no more: what a process takes that is frozen comes again only after its lease. */
const IDLE_CREDIT = 8;
const LARGEST_CREDIT = 1_000;
/** The broker answers at once, or the link is not what we think it is. */
const DRAIN_MS = 2_000;

export interface LinkEvents {
  message(link: ReceiverLink, message: ServiceBusReceivedMessage): void;
  lost(link: ReceiverLink, cause: unknown): void;
}

/** Settled late, a delivery at the head of a link would stall it: the client's window is 2,048, and moves with its head. */
const LONGEST_SPAN = 1_024;

/**
 * A streaming receiver whose credit is ours to give. The client would give one for each callback that ends, and come
 * back by itself when the link is lost; no callback ends here, and a lost link stays lost.
 */
export class ReceiverLink {
  readonly life: ClientLife;
  /** How much credit it should have: doubled whenever it is used up. */
  burst: number = IDLE_CREDIT;
  readonly #receiver: ServiceBusReceiver;
  readonly #abort = new AbortController();
  readonly #events: LinkEvents;
  #link: Link | undefined;
  readonly #leaveLife: () => void;
  #over = false;
  /** Unsettled deliveries by the order of their coming. */
  readonly #unsettled = new Set<number>();
  #received = 0;
  #draining: Promise<void> | undefined;

  constructor(life: ClientLife, path: string, events: LinkEvents) {
    this.life = life;
    this.#events = events;
    this.#receiver = life.client.createReceiver(path, RECEIVING);
    this.#leaveLife = life.onLost((cause) => this.#lose(cause));
  }

  /** Resolves once the link is attached; it has a credit of one. Rejects with what the broker says. */
  static async open(life: ClientLife, path: string, events: LinkEvents): Promise<ReceiverLink> {
    const link = new ReceiverLink(life, path, events);
    await life.whileAlive(link.#attach());
    return link;
  }

  get credit(): number {
    return this.#over ? 0 : (this.#link?.credit ?? 0);
  }

  /** Whether another link should take over: this one goes on until it has used its credit and all is settled. */
  get isLong(): boolean {
    const [oldest] = this.#unsettled;
    return oldest !== undefined && this.#received - oldest >= LONGEST_SPAN;
  }

  get isEmpty(): boolean {
    return this.#unsettled.size === 0;
  }

  /** Not while credit is taken back: the broker would send for what it gave up already. */
  grant(credit: number): void {
    if (this.#over || this.#draining !== undefined) return;
    if (this.#link?.isOpen() === true) this.#link.addCredit(credit);
  }

  /** Nothing came for a while. Resolves with whether it took credit back. */
  async calm(): Promise<boolean> {
    this.burst = IDLE_CREDIT;
    if (this.credit <= IDLE_CREDIT) return false;
    await this.drain();
    return true;
  }

  settled(order: number): void {
    this.#unsettled.delete(order);
  }

  /** The order of what was received last. */
  get order(): number {
    return this.#received;
  }

  /** Takes unused credit back; what came meanwhile was handed over before this resolves. */
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
    const inTime = await byDeadline(systemClock.now() + DRAIN_MS, this.life.whileAlive(drained));
    link.drain = false;
    if (!inTime) this.#lose(new Error('the broker did not take the credit back'));
  }

  /** Ends without a word to {@link LinkEvents}. */
  async close(): Promise<void> {
    this.#over = true;
    this.#leaveLife();
    this.#abort.abort();
    if (this.life.lost === undefined) await this.life.whileAlive(this.#receiver.close());
  }

  #attach(): Promise<void> {
    return new Promise((resolve, reject) => {
      let attached = false;
      const handlers: MessageHandlers & LinkHooks = {
        preInitialize: async () => {
          // The client makes a link again only after it has lost one.
          if (attached) this.#lose(new Error('the broker ended the link'));
        },
        postInitialize: async () => {
          attached = true;
          handMessages(this.#receiver, (message) => this.#take(message));
          this.#link = linkOfReceiver(this.#receiver);
          resolve();
        },
        processMessage: (message) => this.#take(message),
        processError: async ({ error, errorSource }) => {
          if (errorSource === 'receive') this.#lose(error);
          reject(error);
        },
      };
      this.#receiver.subscribe(handlers, {
        autoCompleteMessages: false,
        maxConcurrentCalls: 1,
        abortSignal: this.#abort.signal,
      });
    });
  }

  #take(message: ServiceBusReceivedMessage): Promise<void> {
    this.#received += 1;
    this.#unsettled.add(this.#received);
    if (this.credit === 0) this.burst = Math.min(this.burst * 2, LARGEST_CREDIT);
    this.#events.message(this, message);
    // One that ends would let the client give credit.
    return new Promise(() => undefined);
  }

  #lose(cause: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#leaveLife();
    this.#abort.abort();
    failAnswers(this.#receiver, this.life.lost ?? (cause as Error));
    this.#events.lost(this, cause);
    this.#receiver.close().catch(() => undefined);
  }
}

/** Locks are renewed by us: the client's way goes by the message id, which two copies may share. */
export const RECEIVING = {
  receiveMode: 'peekLock',
  maxAutoLockRenewalDurationInMs: 0,
  skipParsingBodyAsJson: true,
  skipConvertingDate: true,
} as const;
