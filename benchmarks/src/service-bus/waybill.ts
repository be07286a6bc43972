import type { OrderBus } from '../bus.ts';
import type { Setting, Side } from '../side.ts';
import type { ServiceBusPlace } from './service-bus.ts';

export const side: Side<ServiceBusPlace> = {
  name: 'waybill',
  kind: 'waybill',
  packages: ['@waybill/core', '@waybill/service-bus', '@azure/service-bus'],
  async publisher(setting) {
    const orders = await open(setting);
    return { publish: (order) => orders.send(order), close: () => orders.bus.close() };
  },
  async consumer(setting, handle) {
    const orders = await open(setting);
    await orders.consume(handle, setting);
    return { close: () => orders.bus.close() };
  },
};

async function open({ descriptor, queue }: Setting<ServiceBusPlace>): Promise<OrderBus> {
  const [{ serviceBus }, { orderBus }] = await Promise.all([import('@waybill/service-bus'), import('../bus.ts')]);
  return orderBus(serviceBus(descriptor), queue);
}
