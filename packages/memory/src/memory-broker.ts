import { type Clock, type OutgoingMessage, systemClock, type WaybillError } from '@waybill/core/driver';
import type { MemoryQueue } from './memory-queue.ts';
import { notFound, unavailable } from './memory-error.ts';

/** What a queue wants of a topic. */
export interface MemoryBinding {
  /** False: it gets every type. */
  readonly filters: boolean;
  readonly types: ReadonlySet<string>;
}

/** A topic and who is bound to it. */
export interface MemoryTopic {
  readonly name: string;
  readonly keyed: boolean;
  readonly bindings: Map<MemoryQueue, MemoryBinding>;
}

/** What loses its deliveries when the broker stops. */
export interface Losable {
  lose(cause: WaybillError): void;
}

/** So that a loop which always finds something ready starves no timer. */
const CALLS_PER_TURN = 64;

/**
 * A broker in this process, shared by the drivers that are given it. Topics, queues and messages live as long as it does.
 * Bodies are kept by reference, not copied: do not write to one after it was sent or received.
 */
export class MemoryBroker {
  /** Times of delays, leases and deduplication. Default: the system's. */
  readonly clock: Clock;
  /** For the drivers of this package: what they change here is not checked. */
  readonly topics: Map<string, MemoryTopic> = new Map();
  /** For the drivers of this package: what they change here is not checked. */
  readonly queues: Map<string, MemoryQueue> = new Map();
  /** For the drivers of this package: everything that can be cut off. */
  readonly subscriptions: Set<Losable> = new Set();
  #up = true;
  #calls = 0;

  constructor(options: { readonly clock?: Clock } = {}) {
    this.clock = options.clock ?? systemClock;
  }

  get isUp(): boolean {
    return this.#up;
  }

  /** Goes down: what is held goes back, every call rejects with UNAVAILABLE, what is stored stays. */
  stop(): void {
    this.#up = false;
    for (const subscription of this.subscriptions) subscription.lose(unavailable('the memory broker was stopped'));
  }

  start(): void {
    this.#up = true;
  }

  /** Every 64th call gets a promise to await: one turn of the event loop. */
  breathe(): Promise<void> | undefined {
    this.#calls = (this.#calls + 1) % CALLS_PER_TURN;
    return this.#calls === 0 ? new Promise((resolve) => setImmediate(resolve)) : undefined;
  }

  /** One stored copy for each queue that gets this message. Throws NOT_FOUND when its target is missing. */
  route(message: OutgoingMessage, dueAt: number): void {
    if ('queue' in message.target) {
      const queue = this.queues.get(message.target.queue);
      if (queue === undefined) throw notFound('queue', message.target.queue);
      queue.lane(message.target.lane).store({ message, sequence: 0, deliveries: 0 }, dueAt);
      return;
    }
    const topic = this.topics.get(message.target.topic);
    if (topic === undefined) throw notFound('topic', message.target.topic);
    for (const [queue, { filters, types }] of topic.bindings) {
      if (!filters || types.has(message.type)) queue.work.store({ message, sequence: 0, deliveries: 0 }, dueAt);
    }
  }
}
