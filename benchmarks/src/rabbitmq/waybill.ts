import type { OrderBus } from '../bus.ts';
import type { Setting, Side } from '../side.ts';
import type { RabbitmqPlace } from './rabbitmq.ts';

export const side: Side<RabbitmqPlace> = {
  name: 'waybill',
  kind: 'waybill',
  packages: ['@waybill/core', '@waybill/rabbitmq', 'amqplib'],
  async publisher(setting) {
    const { bus, send } = await open(setting);
    return { publish: send, close: () => bus.close() };
  },
  async consumer(setting, handle) {
    const { bus, consume } = await open(setting);
    await consume(handle, setting);
    return { close: () => bus.close() };
  },
};

async function open({ descriptor, queue }: Setting<RabbitmqPlace>): Promise<OrderBus> {
  const [{ rabbitmq }, { orderBus }] = await Promise.all([import('@waybill/rabbitmq'), import('../bus.ts')]);
  return orderBus(rabbitmq({ url: descriptor.url }), queue);
}
