import { randomUUID } from 'node:crypto';

import { type Admin, type Consumer, type ITopicMetadata, Kafka as Client, logLevel, Partitioners } from 'kafkajs';

const probeName = 'waybill-ready';

/** Runs `work` with a connection for administration, which is closed afterwards. */
export async function withAdmin<T>(brokers: readonly string[], work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = clientFor(brokers).admin();
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Resolves with how many nodes those brokers say there are. */
export function countNodes(brokers: readonly string[]): Promise<number> {
  return withAdmin(brokers, async (admin) => (await admin.describeCluster()).brokers.length);
}

/** Resolves with what those brokers say of a topic that exists. */
export async function topicAt(admin: Admin, topic: string): Promise<ITopicMetadata> {
  const [found] = (await admin.fetchTopicMetadata({ topics: [topic] })).topics;
  if (found === undefined) {
    throw new Error(`There is no topic ${topic}.`);
  }
  return found;
}

/**
 * Works as a client does, once: creates a topic, sends to each of its partitions and receives that in a group. Rejects
 * while the cluster is not up to it, as when the groups of a node are still loading.
 */
export async function workOnce(brokers: readonly string[], nodes: number): Promise<void> {
  const id = randomUUID();
  await withAdmin(brokers, async (admin) => {
    await admin.createTopics({ topics: [{ topic: probeName, numPartitions: nodes, replicationFactor: nodes }] });
    // Names that differ by one fall to different partitions of the topic of groups, which are loaded one by one.
    await admin.describeGroups(Array.from({ length: nodes }, (_, index) => `${probeName}-${index}`));
    await sendOnce(brokers, nodes, id);
    await receive(brokers, nodes, id);
    await admin.deleteGroups([`${probeName}-${id}`]);
  });
}

/** Resolves with whether that node has caught up with every partition of {@link workOnce}. */
export function followsAgain(brokers: readonly string[], node: number): Promise<boolean> {
  return withAdmin(brokers, async (admin) => {
    const { partitions } = await topicAt(admin, probeName);
    return partitions.every(({ isr }) => isr.includes(node));
  });
}

async function sendOnce(brokers: readonly string[], partitions: number, value: string): Promise<void> {
  const producer = clientFor(brokers).producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    allowAutoTopicCreation: false,
    idempotent: true,
    retry: { retries: 1 },
  });
  try {
    await producer.connect();
    const messages = Array.from({ length: partitions }, (_, partition) => ({ partition, value }));
    await producer.send({ topic: probeName, messages });
  } finally {
    await producer.disconnect();
  }
}

async function receive(brokers: readonly string[], partitions: number, value: string): Promise<void> {
  const groupId = `${probeName}-${value}`;
  const consumer = clientFor(brokers).consumer({ groupId, allowAutoTopicCreation: false, maxWaitTimeInMs: 100 });
  try {
    await consumer.connect();
    await consumer.subscribe({ topic: probeName, fromBeginning: true });
    await receiveFrom(consumer, partitions, value);
  } finally {
    await consumer.disconnect();
  }
}

function receiveFrom(consumer: Consumer, partitions: number, value: string): Promise<void> {
  const missing = new Set(Array.from({ length: partitions }, (_, partition) => partition));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('Not received in time.')), 10_000);
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.on(consumer.events.DISCONNECT, () => clearTimeout(timer));
    const eachMessage = async ({ partition, message }: { partition: number; message: { value: Buffer | null } }) => {
      if (message.value?.toString() === value) {
        missing.delete(partition);
      }
      if (missing.size === 0) {
        resolve();
      }
    };
    consumer.run({ eachMessage }).catch(reject);
  });
}

function clientFor(brokers: readonly string[]): Client {
  return new Client({
    clientId: probeName,
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 2_000,
    requestTimeout: 10_000,
    retry: { retries: 2, initialRetryTime: 100 },
  });
}
