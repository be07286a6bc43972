import type { Channel, ConfirmChannel } from 'amqplib';
import { decode, encode } from '../envelope.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { propertiesOf } from './properties.ts';
import type { RabbitmqPlace } from './rabbitmq.ts';

export const side: Side<RabbitmqPlace> = {
  name: 'amqp-connection-manager',
  kind: 'peer',
  packages: ['amqp-connection-manager', 'amqplib'],
  unequalIn: { storm: 'requeued at once by hand: it has no retries, so no delay' },
  publisher,
  consumer,
};

const connectionOptions = { noDelay: true };

async function publisher({ descriptor, queue, sample }: Setting<RabbitmqPlace>): Promise<Publisher> {
  const { connect } = await import('amqp-connection-manager');
  const connection = connect([descriptor.url], { connectionOptions });
  const channel = connection.createChannel();
  await channel.waitForConnect();
  const { contentType, headers, type } = propertiesOf(sample);
  return {
    publish: async (order) => {
      const { id, body } = encode(sample, order);
      const options = { contentType, headers, persistent: true, messageId: id, type, mandatory: true };
      await channel.sendToQueue(queue, Buffer.from(body), options);
    },
    close: () => connection.close(),
  };
}

async function consumer({ descriptor, queue, concurrency }: Setting<RabbitmqPlace>, handle: Handle): Promise<Consumer> {
  const { connect } = await import('amqp-connection-manager');
  const connection = connect([descriptor.url], { connectionOptions });
  const setup = async (channel: Channel | ConfirmChannel): Promise<void> => void (await channel.prefetch(concurrency));
  const channel = connection.createChannel({ confirm: false, setup });
  await channel.consume(queue, (message) => {
    handle(decode(message.content.toString())).then(
      () => channel.ack(message),
      () => channel.nack(message, false, true),
    );
  });
  return {
    close: async () => {
      await channel.cancelAll();
      await channel.close();
      await connection.close();
    },
  };
}
