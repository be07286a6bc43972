import { decode, encode } from '../envelope.ts';
import type { Side } from '../side.ts';
import { propertiesOf } from './properties.ts';
import type { RabbitmqPlace } from './rabbitmq.ts';

export const side: Side<RabbitmqPlace> = {
  name: 'rabbitmq-client',
  kind: 'peer',
  packages: ['rabbitmq-client'],
  unequalIn: { storm: 'requeued at once: it has no delay' },
  async publisher({ descriptor, queue, sample }) {
    const { Connection } = await import('rabbitmq-client');
    const connection = new Connection({ url: descriptor.url, noDelay: true });
    const publisher = connection.createPublisher({ confirm: true });
    const { contentType, headers, type } = propertiesOf(sample);
    return {
      publish: async (order) => {
        const { id, body } = encode(sample, order);
        const envelope = {
          routingKey: queue,
          contentType,
          headers,
          durable: true,
          messageId: id,
          type,
          mandatory: true,
        };
        await publisher.send(envelope, Buffer.from(body));
      },
      close: async () => {
        await publisher.close();
        await connection.close();
      },
    };
  },
  async consumer({ descriptor, queue, concurrency }, handle) {
    const { Connection } = await import('rabbitmq-client');
    const connection = new Connection({ url: descriptor.url, noDelay: true });
    const consumer = connection.createConsumer(
      { queue, queueOptions: { passive: true }, qos: { prefetchCount: concurrency }, concurrency },
      async ({ body }) => handle(decode(String(body))),
    );
    // It tells every failure of a handler.
    consumer.on('error', () => undefined);
    return {
      close: async () => {
        await consumer.close();
        await connection.close();
      },
    };
  },
};
