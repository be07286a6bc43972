import type { Batch, EachBatchPayload, Message, Producer } from 'kafkajs';
import { decode } from '../envelope.ts';
import { gathered } from '../gather.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { ALL_IN_SYNC, connect, connectProducer, messageOf } from './client.ts';
import type { KafkaPlace } from './kafka.ts';

const SENT_AT_ONCE = 100;
/** Three calls of a hundred hold the publishes that are open. */
const SENDS_OPEN = 3;

/** The client by hand, with all that is known to make it fast: sends gathered, whole batches handled and then resolved. */
export const side: Side<KafkaPlace> = {
  name: 'kafkajs',
  kind: 'raw',
  packages: ['kafkajs'],
  notes: {
    consume: 'accepts by offset: all before it are accepted with it',
    storm: 'by hand: a copy in a retry topic whose reader waits until it is due',
  },
  async publisher({ descriptor, queue, sample }: Setting<KafkaPlace>): Promise<Publisher> {
    const producer = await connectProducer(await connect(descriptor));
    const send = gatheredSend(producer, queue);
    return { publish: (order) => send(messageOf(sample, order)), close: () => producer.disconnect() };
  },
  consumer,
};

async function consumer(setting: Setting<KafkaPlace>, handle: Handle): Promise<Consumer> {
  const { descriptor, queue, measure } = setting;
  const kafka = await connect(descriptor);
  const reader = kafka.consumer({ groupId: queue });
  const topics = [queue];
  let retry: (message: Message) => Promise<void> = () => Promise.reject(new Error('There is no retry topic.'));
  let close = async (): Promise<void> => undefined;
  if (measure === 'storm') {
    const topic = `${queue}.retry`;
    const producer = await connectProducer(kafka);
    const send = gatheredSend(producer, topic);
    topics.push(topic);
    await createRetryTopic(setting, topic);
    retry = ({ value, headers = {} }) => send({ value, headers, timestamp: String(Date.now() + setting.retryDelayMs) });
    close = () => producer.disconnect();
  }
  await reader.connect();
  await reader.subscribe({ topics, fromBeginning: true });
  await reader.run({
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: topics.length,
    eachBatch: (payload) => work(payload, { handle, retry, waits: payload.batch.topic !== queue }),
  });
  return {
    close: async () => {
      await reader.disconnect();
      await close();
    },
  };
}

interface Work {
  readonly handle: Handle;
  /** Resolves once the copy is stored. */
  readonly retry: (message: Message) => Promise<void>;
  /** Whether messages have the time when they are due. */
  readonly waits: boolean;
}

async function work(payload: EachBatchPayload, { handle, retry, waits }: Work): Promise<void> {
  const copies: Promise<void>[] = [];
  for (const message of payload.batch.messages) {
    if (waits) await until(Number(message.timestamp));
    try {
      await handle(decode(String(message.value)));
    } catch {
      copies.push(retry(message));
    }
  }
  await Promise.all(copies);
  payload.resolveOffset(lastOf(payload.batch));
  await payload.heartbeat();
}

function lastOf({ messages }: Batch): string {
  return messages.at(-1)?.offset ?? '-1';
}

async function until(at: number): Promise<void> {
  const left = at - Date.now();
  if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
}

function gatheredSend(producer: Producer, topic: string): (message: Message) => Promise<void> {
  return gathered({
    size: SENT_AT_ONCE,
    open: SENDS_OPEN,
    store: (messages: readonly Message[]) => producer.send({ topic, acks: ALL_IN_SYNC, messages: [...messages] }),
  });
}

async function createRetryTopic({ descriptor, queue }: Setting<KafkaPlace>, topic: string): Promise<void> {
  const admin = (await connect(descriptor)).admin();
  await admin.connect();
  const { topics } = await admin.fetchTopicMetadata({ topics: [queue] });
  const numPartitions = topics[0]?.partitions.length ?? 1;
  await admin.createTopics({ topics: [{ topic, numPartitions }] });
  await admin.disconnect();
}
