import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { decode, encode } from '../envelope.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { type MessageProperties, propertiesOf } from './properties.ts';
import { type RabbitmqPlace, waitingName } from './rabbitmq.ts';

interface Taken {
  readonly message: ConsumeMessage;
  done: boolean;
}

/** The client by hand, with all that is known to make it fast: no Nagle, options of one shape, acknowledgements gathered. */
export const side: Side<RabbitmqPlace> = {
  name: 'amqplib',
  kind: 'raw',
  packages: ['amqplib'],
  notes: { storm: 'by hand: a copy in a queue of this one delay, then the acknowledgement of its source' },
  publisher,
  consumer,
};

async function publisher({ descriptor, queue, sample }: Setting<RabbitmqPlace>): Promise<Publisher> {
  const { connect } = await import('amqplib');
  const connection = await connect(descriptor.url, { noDelay: true });
  const channel = await connection.createConfirmChannel();
  let returned = 0;
  channel.on('return', () => (returned += 1));
  const { contentType, headers, type } = propertiesOf(sample);
  return {
    publish: (order) =>
      new Promise((resolve, reject) => {
        const { id, body } = encode(sample, order);
        channel.publish(
          '',
          queue,
          Buffer.from(body),
          { contentType, headers, persistent: true, messageId: id, type, mandatory: true },
          (error: Error | null) => (error === null ? resolve() : reject(error)),
        );
      }),
    close: async () => {
      await connection.close();
      if (returned > 0) throw new Error(`${returned} messages came back`);
    },
  };
}

async function consumer(setting: Setting<RabbitmqPlace>, handle: Handle): Promise<Consumer> {
  const { connect } = await import('amqplib');
  const connection = await connect(setting.descriptor.url, { noDelay: true });
  const channel = await connection.createChannel();
  await channel.prefetch(setting.concurrency);
  const retry = setting.measure === 'storm' ? await copies(connection, setting) : undefined;
  const taken = takenOf(channel);
  const onMessage = async (message: ConsumeMessage): Promise<void> => {
    const entry = taken.add(message);
    try {
      await handle(decode(message.content.toString()));
    } catch (error) {
      if (retry === undefined) throw error;
      await retry(message);
    }
    taken.done(entry);
  };
  const { consumerTag } = await channel.consume(
    setting.queue,
    (message) => void (message !== null && onMessage(message)),
  );
  return {
    close: async () => {
      await channel.cancel(consumerTag);
      taken.acknowledge();
      await channel.close();
      await connection.close();
    },
  };
}

/** Puts a copy where it waits for its next attempt; resolves once it is stored. */
async function copies(
  connection: ChannelModel,
  { queue, retryDelayMs }: Setting<RabbitmqPlace>,
): Promise<(message: ConsumeMessage) => Promise<void>> {
  const channel = await connection.createConfirmChannel();
  const waiting = waitingName(queue);
  await channel.assertQueue(waiting, {
    durable: true,
    arguments: {
      'x-queue-type': 'quorum',
      'x-message-ttl': retryDelayMs,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': queue,
      // Else what is due would be lost where its queue cannot take it.
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    },
  });
  return ({ content, properties }) =>
    new Promise((resolve, reject) => {
      const { contentType, messageId, type, headers } = properties as MessageProperties;
      const copy = {
        contentType,
        messageId,
        type,
        persistent: true,
        mandatory: true,
        headers: { ...headers, attempt: 2 },
      };
      channel.publish('', waiting, content, copy, (error: Error | null) =>
        error === null ? resolve() : reject(error),
      );
    });
}

interface TakenInOrder {
  readonly add: (message: ConsumeMessage) => Taken;
  readonly done: (entry: Taken) => void;
  readonly acknowledge: () => void;
}

/** One acknowledgement a turn, for all that are done and have nothing undone before them. */
function takenOf(channel: Channel): TakenInOrder {
  const taken: Taken[] = [];
  let scheduled = false;
  const acknowledge = (): void => {
    scheduled = false;
    const first = taken.findIndex(({ done }) => !done);
    const finished = taken.splice(0, first === -1 ? taken.length : first);
    const last = finished.at(-1);
    if (last !== undefined) channel.ack(last.message, true);
  };
  return {
    acknowledge,
    add: (message) => {
      const entry: Taken = { message, done: false };
      taken.push(entry);
      return entry;
    },
    done: (entry) => {
      entry.done = true;
      if (!scheduled) setImmediate(acknowledge);
      scheduled = true;
    },
  };
}
