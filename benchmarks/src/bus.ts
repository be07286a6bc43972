import { type Bus, createBus, defineCommand, defineQueue } from '@waybill/core';
import type { Driver } from '@waybill/core/driver';
import { type Order, orderSchema } from './order.ts';
import type { Handle, Setting } from './side.ts';

export interface OrderBus {
  readonly bus: Bus;
  readonly send: (order: Order) => Promise<void>;
  readonly consume: (handle: Handle, setting: Setting) => Promise<void>;
}

/** Waybill's side on any broker: orders are commands of one queue. */
export function orderBus(driver: Driver, queue: string): OrderBus {
  const PlaceOrder = defineCommand('order.place', orderSchema);
  const orders = defineQueue(queue, { handles: [PlaceOrder] });
  const bus = createBus({ source: '/shop', driver, uses: [orders] });
  return {
    bus,
    send: async (order) => {
      await bus.send(orders, PlaceOrder, order);
    },
    consume: async (handle, { concurrency, retryDelayMs }) => {
      const retry = { delaysMs: [retryDelayMs], jitter: 0 };
      await bus.consume(orders, { 'order.place': handle }, { concurrency, retry });
    },
  };
}
