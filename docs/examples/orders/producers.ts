import { type Bus, createBus, defineEvent } from '@waybill/core';
import { z } from 'zod';
import type { Broker } from './brokers.ts';
import { OrderPlaced, OrderV1, OrderV2 } from './contracts.ts';
import type { Order } from './input.ts';
import type { Shutdown } from './shutdown.ts';

/** An older service that still runs: its code knows version 1 only. */
const OrderPlacedThen = defineEvent('order.placed', OrderV1, { topic: 'orders' }).keyedBy((order) => order.customer);

/** A newer service, deployed before the consumers: its version 3 is unknown to them. */
const OrderV3 = OrderV2.extend({ channel: z.string() });
const OrderPlacedSoon = defineEvent('order.placed', OrderV1, { topic: 'orders' })
  .evolve(OrderV2, (order) => ({ ...order, currency: 'EUR' }))
  .evolve(OrderV3, (order) => ({ ...order, channel: 'web' }))
  .keyedBy((order) => order.customer);

export interface Producers {
  /** Rejects with one sentence for an order that does not fit its version, and for a version that no service has. */
  publish(version: number, order: Order): Promise<void>;
}

/** Three services that publish orders, each with its own connection and its own version of the contract. */
export function openProducers(broker: Broker, shutdown: Shutdown): Producers {
  const open = (source: string, event: typeof OrderPlacedThen | typeof OrderPlaced | typeof OrderPlacedSoon): Bus => {
    const bus = createBus({ source, driver: broker.connect(), uses: [event], prefix: broker.prefix });
    shutdown.add(() => bus.close({ deadlineMs: 5_000 }));
    return bus;
  };
  const [then, now, soon] = [
    open('/shop-v1', OrderPlacedThen),
    open('/shop', OrderPlaced),
    open('/shop-v3', OrderPlacedSoon),
  ];
  return {
    async publish(version, order) {
      const options = { id: order.orderId };
      // Orders come from a file: `publish` checks them against the schema.
      if (version === 1) await then.publish(OrderPlacedThen, order as unknown as z.input<typeof OrderV1>, options);
      else if (version === 2) await now.publish(OrderPlaced, order as unknown as z.input<typeof OrderV2>, options);
      else if (version === 3) await soon.publish(OrderPlacedSoon, order as unknown as z.input<typeof OrderV3>, options);
      else throw new Error(`No service here publishes version ${version}.`);
    },
  };
}
