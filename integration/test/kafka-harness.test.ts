import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';

import type { Harness, Session } from '@waybill/conformance';
import type { Topology } from '@waybill/core/driver';
import {
  type Admin,
  ConfigResourceTypes,
  type Consumer,
  Kafka as Client,
  type KafkaConfig,
  logLevel,
  Partitioners,
  type Producer,
} from 'kafkajs';
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest';

import type { SessionOptions } from '../src/conformance/kafka-driver.ts';
import { kafkaHarness } from '../src/conformance/kafka-harness.ts';
import { eventually, kafkaPassword, kafkaUser, throughProxies } from '../src/index.ts';
import { hasKafkaContainers, kafkaTest } from './shared.ts';

// The session's faults with a plain client, so that a scenario which fails tells of the driver.
const harness: Harness = kafkaHarness({ nodes: 1, parallel: 1 });
const NOTHING: Topology = { topics: [], queues: [] };
/** Sees what there is, whatever happens to the way of another session. */
let watcher: Session;

beforeAll(async () => {
  if (hasKafkaContainers) watcher = await harness.open();
});

afterAll(async () => {
  await watcher?.close('nothing', NOTHING);
  await harness.close();
});

function optionsOf({ worker }: Session): SessionOptions {
  return worker?.options as SessionOptions;
}

function clientOf(session: Session, config: Partial<KafkaConfig> & { readonly password?: string } = {}): Client {
  const { brokers, addresses } = optionsOf(session);
  const { password = kafkaPassword, ...rest } = config;
  return new Client({
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 2_000,
    requestTimeout: 3_000,
    retry: { retries: 0 },
    ...(addresses === undefined
      ? {}
      : { socketFactory: throughProxies(addresses), sasl: { mechanism: 'plain', username: kafkaUser, password } }),
    ...rest,
  });
}

interface Opened {
  readonly session: Session;
  readonly prefix: string;
  readonly topic: string;
  close(): Promise<void>;
}

async function open(): Promise<Opened> {
  const session = await harness.open();
  const prefix = `c${randomUUID()}`;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= session.close(prefix, NOTHING));
  onTestFinished(close);
  const topic = `${prefix}.desk`;
  await asAdmin(watcher, (admin) =>
    admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true }),
  );
  return { session, prefix, topic, close };
}

async function asAdmin<T>(session: Session, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = clientOf(session, { retry: { retries: 3 } }).admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

async function producerOf(session: Session, config?: Parameters<typeof clientOf>[1]): Promise<Producer> {
  const producer = clientOf(session, config).producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    allowAutoTopicCreation: false,
  });
  onTestFinished(() => producer.disconnect());
  await producer.connect();
  return producer;
}

const send = (producer: Producer, topic: string): Promise<unknown> =>
  producer.send({ topic, messages: [{ key: 'k', value: 'v' }] });

const stored = (topic: string): Promise<number> =>
  asAdmin(watcher, async (admin) => {
    const offsets = await admin.fetchTopicOffsets(topic);
    return offsets.reduce((sum, { high }) => sum + Number(high), 0);
  });

/** Names of topics and groups. */
const names = (session: Session): Promise<readonly string[]> =>
  asAdmin(session, async (admin) => {
    const { groups } = await admin.listGroups();
    return [...(await admin.listTopics()), ...groups.map(({ groupId }) => groupId)].toSorted();
  });

async function member(session: Session, groupId: string, topic: string): Promise<Consumer> {
  const consumer = clientOf(session).consumer({ groupId, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic });
  const joined = new Promise<void>((resolve) => consumer.on(consumer.events.GROUP_JOIN, () => resolve()));
  await consumer.run({ eachMessage: async () => undefined });
  await joined;
  return consumer;
}

kafkaTest('a session demands the password of the harness, which is among its secrets', async () => {
  const { session, topic } = await open();
  await send(await producerOf(session), topic);
  await expect(producerOf(session, { password: 'wrong' })).rejects.toThrow(/authentication failed/i);
  expect(harness.secrets).toContain(kafkaPassword);
});

kafkaTest('a cut closes all connections of the session and leaves those of others', async () => {
  const { session, topic } = await open();
  const sockets: Socket[] = [];
  const way = throughProxies(optionsOf(session).addresses ?? {});
  const socketFactory: typeof way = (args) => {
    const socket = way(args);
    sockets.push(socket);
    return socket;
  };
  const [own, other] = [await producerOf(session, { socketFactory }), await producerOf(watcher)];
  await Promise.all([send(own, topic), send(other, topic)]);
  expect(sockets.some(({ destroyed }) => !destroyed)).toBe(true);
  await session.faults.cut?.();
  await eventually(() => sockets.every(({ destroyed }) => destroyed));
  await send(other, topic);
  await send(await producerOf(session), topic);
  expect(await stored(topic)).toBe(4);
});

kafkaTest('a black hole and delayed answers concern one session', async () => {
  const { session, topic } = await open();
  const [own, other] = [await producerOf(session), await producerOf(watcher)];
  await Promise.all([send(own, topic), send(other, topic)]);
  await session.faults.delay?.(150);
  const startedAt = performance.now();
  await send(own, topic);
  expect(performance.now() - startedAt).toBeGreaterThan(290);
  await session.faults.delay?.(0);
  await session.faults.blackHole?.(true);
  const swallowed = expect(send(own, topic)).rejects.toThrow(/timed out/);
  await send(other, topic);
  await swallowed;
  await session.faults.blackHole?.(false);
  await send(await producerOf(session), topic);
  expect(await stored(topic)).toBe(5);
});

kafkaTest('what is sent while confirms get lost is stored', async () => {
  const { session, topic } = await open();
  const producer = await producerOf(session);
  await send(producer, topic);
  await session.faults.loseConfirms?.(true);
  await expect(send(producer, topic)).rejects.toThrow(/timed out/);
  expect(await stored(topic)).toBe(2);
});

kafkaTest('a paused broker answers nothing and goes on', async () => {
  const { session, topic } = await open();
  const producer = await producerOf(session);
  await send(producer, topic);
  await session.faults.pause?.(true);
  await expect(send(producer, topic)).rejects.toThrow(/timed out/);
  await session.faults.pause?.(false);
  await eventually(async () => send(await producerOf(session), topic));
});

kafkaTest('a killed broker comes back with what it had, also when only the session is closed', async () => {
  const { session, topic } = await open();
  await send(await producerOf(session), topic);
  await session.faults.kill?.();
  await expect(producerOf(session)).rejects.toThrow('onnection');
  await session.faults.start?.();
  expect(await stored(topic)).toBe(1);
  const careless = await harness.open();
  await careless.faults.kill?.();
  await careless.close('careless', NOTHING);
  expect(await stored(topic)).toBe(1);
});

kafkaTest('a dead lane that refuses its letters takes them again as the topic that it was', async () => {
  const { session, topic } = await open();
  const lane = `${topic}.dead`;
  const queue = { name: topic, ordered: false, bindings: [] };
  const configEntries = [{ name: 'retention.ms', value: '-1' }];
  const described = (admin: Admin): Promise<unknown> =>
    Promise.all([
      admin.fetchTopicMetadata({ topics: [lane] }).then(({ topics }) => topics[0]?.partitions.length),
      admin
        .describeConfigs({
          resources: [{ type: ConfigResourceTypes.TOPIC, name: lane, configNames: ['retention.ms'] }],
          includeSynonyms: false,
        })
        .then(({ resources }) => resources[0]?.configEntries[0]?.configValue),
    ]);
  await asAdmin(watcher, (admin) =>
    admin.createTopics({ topics: [{ topic: lane, numPartitions: 4, configEntries }], waitForLeaders: true }),
  );
  const producer = await producerOf(session);
  await session.faults.refuseDeadLane?.(queue, true);
  await expect(send(producer, lane)).rejects.toThrow('does not host this topic-partition');
  await send(producer, topic);
  await session.faults.refuseDeadLane?.(queue, false);
  expect(await asAdmin(watcher, described)).toEqual([4, '-1']);
  await eventually(() => send(producer, lane));
});

kafkaTest('a session that is closed leaves no topic and no group of its prefix, and all others', async () => {
  const [{ session, prefix, topic, close }, other] = [await open(), await open()];
  const consumer = await member(session, topic, topic);
  await consumer.disconnect();
  expect((await names(watcher)).filter((name) => name === topic)).toHaveLength(2);
  await close();
  const left = await names(watcher);
  expect(left.filter((name) => name.startsWith(prefix))).toEqual([]);
  expect(left).toContain(other.topic);
});
