import type { BrokerAsPromised } from 'rascal';
import { decode, encode } from '../envelope.ts';
import type { Setting, Side } from '../side.ts';
import { propertiesOf } from './properties.ts';
import type { RabbitmqPlace } from './rabbitmq.ts';

/** A channel is lent to one message until it is confirmed. With its default of 5 it publishes less than half as fast. */
const CHANNELS = 50;

export const side: Side<RabbitmqPlace> = {
  name: 'rascal',
  kind: 'peer',
  packages: ['rascal', 'amqplib'],
  notes: { storm: 'published again after a wait in its process' },
  async publisher(setting) {
    const broker = await open(setting);
    const { contentType, headers, type } = propertiesOf(setting.sample);
    return {
      publish: async (order) => {
        const { id, body } = encode(setting.sample, order);
        const options = { contentType, headers, messageId: id, type, persistent: true, mandatory: true };
        const publication = await broker.publish('orders', Buffer.from(body), { options });
        await new Promise((resolve, reject) => {
          publication.on('success', resolve).on('error', reject).on('return', reject);
        });
      },
      close: () => broker.shutdown(),
    };
  },
  async consumer(setting, handle) {
    const broker = await open(setting);
    const retry = [
      { strategy: 'republish' as const, defer: setting.retryDelayMs, attempts: 10 },
      { strategy: 'nack' as const },
    ];
    const subscription = await broker.subscribe('orders');
    subscription.on('message', (message, _, ackOrNack) => {
      handle(decode(message.content.toString())).then(
        () => ackOrNack(),
        (error: unknown) => ackOrNack(error as Error, retry),
      );
    });
    subscription.on('error', () => undefined);
    return { close: () => broker.shutdown() };
  },
};

async function open({ descriptor, queue, concurrency }: Setting<RabbitmqPlace>): Promise<BrokerAsPromised> {
  const { default: rascal } = await import('rascal');
  // Its types know less than it hands on.
  const socketOptions: object = { noDelay: true };
  const confirmPool = { max: CHANNELS, min: 1, autostart: true };
  const broker = await rascal.BrokerAsPromised.create({
    vhosts: {
      '/': {
        connection: { url: descriptor.url, socketOptions },
        publicationChannelPools: { confirmPool },
        // It was made before, with settings of its own.
        queues: { [queue]: { assert: false, check: true } },
      },
    },
    publications: { orders: { vhost: '/', queue, confirm: true } },
    subscriptions: { orders: { vhost: '/', queue, prefetch: concurrency, contentType: 'application/octet-stream' } },
  });
  broker.on('error', () => undefined);
  return broker;
}
