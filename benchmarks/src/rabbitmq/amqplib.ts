import type { Channel, ConsumeMessage } from 'amqplib';
import { decode, encode } from '../envelope.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { propertiesOf } from './properties.ts';
import type { RabbitmqPlace } from './rabbitmq.ts';

interface Taken {
  readonly message: ConsumeMessage;
  done: boolean;
}

/** The client by hand, with all that is known to make it fast: no Nagle, options of one shape, acknowledgements gathered. */
export const side: Side<RabbitmqPlace> = {
  name: 'amqplib',
  kind: 'raw',
  packages: ['amqplib'],
  notes: { storm: 'requeued at once, without a delay' },
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

async function consumer({ descriptor, queue, concurrency }: Setting<RabbitmqPlace>, handle: Handle): Promise<Consumer> {
  const { connect } = await import('amqplib');
  const connection = await connect(descriptor.url, { noDelay: true });
  const channel = await connection.createChannel();
  await channel.prefetch(concurrency);
  const taken = takenOf(channel);
  const onMessage = async (message: ConsumeMessage): Promise<void> => {
    const entry = taken.add(message);
    try {
      await handle(decode(message.content.toString()));
      taken.done(entry);
    } catch {
      taken.forget(entry);
      channel.nack(message, false, true);
    }
  };
  const { consumerTag } = await channel.consume(queue, (message) => void (message !== null && onMessage(message)));
  return {
    close: async () => {
      await channel.cancel(consumerTag);
      taken.acknowledge();
      await channel.close();
      await connection.close();
    },
  };
}

interface TakenInOrder {
  readonly add: (message: ConsumeMessage) => Taken;
  readonly done: (entry: Taken) => void;
  /** An acknowledgement of those behind it must not cover it. */
  readonly forget: (entry: Taken) => void;
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
    forget: (entry) => void taken.splice(taken.indexOf(entry), 1),
  };
}
