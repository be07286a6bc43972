import type { Setting, Side } from '../side.ts';
import type { EventBus } from './bus.ts';
import type { KafkaPlace } from './kafka.ts';

export const side: Side<KafkaPlace> = {
  name: 'waybill',
  kind: 'waybill',
  packages: ['@waybill/core', '@waybill/kafka', 'kafkajs'],
  async publisher(setting) {
    const { bus, publish } = await open(setting);
    return { publish, close: () => bus.close() };
  },
  async consumer(setting, handle) {
    const { bus, consume } = await open(setting);
    await consume(handle, setting.retryDelayMs);
    return { close: () => bus.close() };
  },
};

async function open({ descriptor, queue }: Setting<KafkaPlace>): Promise<EventBus> {
  const [{ kafka }, { eventBus }] = await Promise.all([import('@waybill/kafka'), import('./bus.ts')]);
  return eventBus(kafka({ brokers: descriptor.brokers }), queue);
}
