import { type Bus, createBus, defineEvent, defineQueue } from '@waybill/core';
import type { Driver, Topology } from '@waybill/core/driver';
import { type Order, orderSchema } from '../order.ts';
import type { Handle } from '../side.ts';

const TYPE = 'order.placed';
/** As many as a batch of kafkajs has, 1 MiB a partition, so that both have as many messages in hand. */
const CONCURRENCY = 250;

export interface EventBus {
  readonly bus: Bus;
  publish(order: Order): Promise<void>;
  consume(handle: Handle, retryDelayMs: number): Promise<void>;
  sample(order: Order): ReturnType<Bus['prepare']>;
}

/** Orders are events of a topic that one queue reads; both have its name. */
export function eventBus(driver: Driver, queue: string): EventBus {
  const OrderPlaced = defineEvent(TYPE, orderSchema, { topic: queue });
  const orders = defineQueue(queue, { handles: [OrderPlaced] });
  const bus = createBus({ source: '/shop', driver, uses: [OrderPlaced, orders] });
  return {
    bus,
    publish: async (order) => void (await bus.publish(OrderPlaced, order)),
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
