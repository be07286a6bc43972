import type { Consumer as Client, Message, MessagesStream } from '@platformatic/kafka';
import { decode, encode } from '../envelope.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { ALL_IN_SYNC, headersOf } from './client.ts';
import { BY_OFFSET, type KafkaPlace, NO_RETRIES } from './kafka.ts';

type Bytes = Message;
type Stream = MessagesStream<Buffer, Buffer, Buffer, Buffer>;
type Reader = Client;

export const side: Side<KafkaPlace> = {
  name: '@platformatic/kafka',
  kind: 'peer',
  packages: ['@platformatic/kafka'],
  unequalIn: { consume: BY_OFFSET },
  absent: { storm: NO_RETRIES },
  share: { publish: 0.1 },
  notes: {
    publish: 'not idempotent: its idempotent producer fails when more than one send is open',
    consume: 'commits by hand: its autocommit accepts what was fetched, before the handler',
  },
  publisher,
  consumer: (setting, handle) => readStream(setting, (consumer) => gatheredCommits(consumer, handle)),
};

async function publisher({ descriptor, queue, sample, measure }: Setting<KafkaPlace>): Promise<Publisher> {
  const { Producer } = await import('@platformatic/kafka');
  const guarantees = measure.startsWith('awaited') ? { idempotent: true } : { acks: ALL_IN_SYNC };
  const bootstrapBrokers = [...descriptor.brokers];
  const producer = new Producer<Buffer, Buffer, Buffer, Buffer>({ clientId: 'bench', bootstrapBrokers, ...guarantees });
  const headers = new Map(Object.entries(headersOf(sample)).map((pair) => bytesOf(pair)));
  return {
    publish: async (order) => {
      const value = Buffer.from(encode(sample, order).body);
      await producer.send({ messages: [{ topic: queue, value, headers }] });
    },
    close: () => producer.close(),
  };
}

function bytesOf([name, value]: readonly [string, string]): readonly [Buffer, Buffer] {
  return [Buffer.from(name), Buffer.from(value)];
}

/** What is done with each message; `flush` resolves once what was handled is accepted. */
export interface Reading {
  readonly onMessage: (message: Bytes) => Promise<void>;
  readonly flush: () => Promise<void>;
}

export async function readStream(
  { descriptor, queue }: Setting<KafkaPlace>,
  read: (reader: Reader) => Reading,
): Promise<Consumer> {
  const { Consumer: PlatformaticConsumer } = await import('@platformatic/kafka');
  const reader = new PlatformaticConsumer<Buffer, Buffer, Buffer, Buffer>({
    groupId: queue,
    clientId: 'bench',
    bootstrapBrokers: [...descriptor.brokers],
  });
  const stream = await reader.consume({
    topics: [queue],
    mode: 'committed',
    fallbackMode: 'earliest',
    autocommit: false,
  });
  const { onMessage, flush } = read(reader);
  const done = handleAll(stream, onMessage);
  return {
    close: async () => {
      await flush();
      await Promise.all([stream.close(), done]);
      await reader.close();
    },
  };
}

async function handleAll(stream: Stream, onMessage: Reading['onMessage']): Promise<void> {
  for await (const message of stream) await onMessage(message);
}

/** One commit at a time, of all that was handled meanwhile. */
function gatheredCommits(reader: Reader, handle: Handle): Reading {
  const offsets = new Map<number, Bytes>();
  let open: Promise<void> | undefined;
  const commit = async (): Promise<void> => {
    while (offsets.size > 0) {
      const last = [...offsets.values()];
      offsets.clear();
      await reader.commit({
        offsets: last.map(({ topic, partition, offset }) => ({
          topic,
          partition,
          offset: offset + 1n,
          leaderEpoch: -1,
        })),
      });
    }
    open = undefined;
  };
  return {
    onMessage: async (message) => {
      await handle(decode(message.value.toString()));
      offsets.set(message.partition, message);
      open ??= commit();
    },
    flush: async () => {
      await open;
    },
  };
}
