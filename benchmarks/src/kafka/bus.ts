import { type Bus, createBus, defineEvent, defineQueue } from '@waybill/core';
import type { Driver, Topology } from '@waybill/core/driver';
import { type Order, orderSchema } from '../order.ts';
import type { Handle } from '../side.ts';

const TYPE = 'order.placed';
/**
 * kafkajs has a batch of 1 MiB of each partition in hand. Four messages for each handler are here, and what is handled
 * is in hand until its commit is stored: fewer would wait for the broker's answers.
 */
const CONCURRENCY = 1_000;

export interface EventBus {
  readonly bus: Bus;
  readonly publish: (order: Order) => Promise<void>;
  readonly consume: (handle: Handle, retryDelayMs: number) => Promise<void>;
  readonly sample: (order: Order) => ReturnType<Bus['prepare']>;
}

/** Orders are events of a topic that one queue reads; both have its name. */
export function eventBus(driver: Driver, queue: string): EventBus {
  const OrderPlaced = defineEvent(TYPE, orderSchema, { topic: queue });
  const orders = defineQueue(queue, { handles: [OrderPlaced] });
  const bus = createBus({ source: '/shop', driver, uses: [OrderPlaced, orders] });
  return {
    bus,
    publish: async (order) => {
      await bus.publish(OrderPlaced, order);
    },
    consume: async (handle, retryDelayMs) => {
      const retry = { delaysMs: [retryDelayMs], jitter: 0 };
      await bus.consume(orders, { [TYPE]: handle }, { concurrency: CONCURRENCY, retry });
    },
    sample: (order) => bus.prepare(OrderPlaced, order),
  };
}

/** What {@link eventBus} needs, as its own `provision` would have it made. */
export function topology(queue: string): Topology {
  const topic = { name: queue, keyed: false };
  return { topics: [topic], queues: [{ name: queue, ordered: false, bindings: [{ topic, types: [TYPE] }] }] };
}
