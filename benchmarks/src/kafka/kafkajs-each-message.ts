import type { Consumer as Reader, EachMessagePayload } from 'kafkajs';
import { decode } from '../envelope.ts';
import type { Consumer, Publisher, Setting, Side } from '../side.ts';
import { ALL_IN_SYNC, connect, connectProducer, messageOf } from './client.ts';
import { BY_OFFSET, type KafkaPlace, NO_RETRIES } from './kafka.ts';

const PARTITIONS = 6;

/** The client as its documentation shows it. */
export const side: Side<KafkaPlace> = {
  name: 'kafkajs eachMessage',
  kind: 'peer',
  packages: ['kafkajs'],
  unequalIn: { consume: BY_OFFSET },
  absent: { storm: NO_RETRIES },
  share: { publish: 0.1 },
  publisher,
  consumer: (setting, handle) => readEach(setting, {}, async (_, { message }) => handle(decode(String(message.value)))),
};

async function publisher({ descriptor, queue, sample }: Setting<KafkaPlace>): Promise<Publisher> {
  const producer = await connectProducer(await connect(descriptor));
  return {
    publish: async (order) => {
      await producer.send({ topic: queue, acks: ALL_IN_SYNC, messages: [messageOf(sample, order)] });
    },
    close: () => producer.disconnect(),
  };
}

type OnMessage = (reader: Reader, payload: EachMessagePayload) => Promise<void>;

/** Partitions at the same time, the messages of one after the other. */
export async function readEach(
  { descriptor, queue }: Setting<KafkaPlace>,
  options: { readonly autoCommit?: boolean },
  onMessage: OnMessage,
): Promise<Consumer> {
  const kafka = await connect(descriptor);
  const reader = kafka.consumer({ groupId: queue });
  await reader.connect();
  await reader.subscribe({ topics: [queue], fromBeginning: true });
  await reader.run({
    ...options,
    partitionsConsumedConcurrently: PARTITIONS,
    eachMessage: (payload) => onMessage(reader, payload),
  });
  return { close: () => reader.disconnect() };
}
