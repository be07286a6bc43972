import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';

import type { Harness } from '@waybill/conformance';
import type { Topology } from '@waybill/core/driver';
import { type Admin, type Consumer, Kafka as Client, logLevel } from 'kafkajs';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, vi } from 'vitest';

import { kafkaHarness } from '../src/conformance/kafka-harness.ts';
import { tracesOf } from '../src/conformance/kafka-traces.ts';
import { noteTraces } from '../src/conformance/traces.ts';
import { eventually, type Kafka, startKafka } from '../src/index.ts';
import { hasKafkaContainers, kafkaTest } from './shared.ts';

const NOTHING: Topology = { topics: [], queues: [] };

let kafka: Kafka;

beforeAll(async () => {
  if (hasKafkaContainers) kafka = await startKafka();
});

afterAll(async () => {
  await kafka?.stop();
});

beforeEach(() => {
  if (hasKafkaContainers) vi.stubEnv('WAYBILL_KAFKA_BROKERS', kafka.brokers.join(','));
});

afterEach(() => {
  vi.unstubAllEnvs();
});

function givenHarness(): Harness {
  const harness = kafkaHarness({ nodes: 1, parallel: 1 });
  onTestFinished(() => harness.close());
  return harness;
}

function client(): Client {
  return new Client({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING });
}

async function asAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = client().admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

const create = (...topics: readonly string[]): Promise<unknown> =>
  asAdmin((admin) =>
    admin.createTopics({ topics: topics.map((topic) => ({ topic, numPartitions: 1 })), waitForLeaders: true }),
  );

const groups = (): Promise<readonly string[]> =>
  asAdmin(async (admin) => (await admin.listGroups()).groups.map(({ groupId }) => groupId));

/** Topics and groups whose names begin so. */
async function left(prefix: string): Promise<readonly string[]> {
  const names = [...(await asAdmin((admin) => admin.listTopics())), ...(await groups())];
  return names.filter((name) => name.startsWith(prefix)).toSorted();
}

async function member(groupId: string, topic: string): Promise<Consumer> {
  const consumer = client().consumer({ groupId, maxWaitTimeInMs: 100 });
  onTestFinished(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topic });
  const joined = new Promise<void>((resolve) => consumer.on(consumer.events.GROUP_JOIN, () => resolve()));
  await consumer.run({ eachMessage: async () => undefined });
  await joined;
  return consumer;
}

kafkaTest('a cluster that is given has no faults of network and containers, and no password', async () => {
  const { faults, without, secrets } = givenHarness();
  expect(faults).toEqual(['refuseDeadLane', 'kill-process', 'freeze-process']);
  expect(Object.keys(without ?? {}).toSorted()).toEqual(
    ['blackHole', 'cut', 'delay', 'kill', 'loseConfirms', 'pause', 'start', 'wrong-password'].toSorted(),
  );
  expect([without?.kill, secrets]).toEqual(['the broker is given by WAYBILL_KAFKA_BROKERS', []]);
});

kafkaTest('a run leaves nothing, also of a group whose member is there longer than the session', async () => {
  const harness = givenHarness();
  const session = await harness.open();
  const [prefix, other] = [`c${randomUUID()}`, `c${randomUUID()}`];
  const [queue, rest] = [`${prefix}.desk`, `${prefix}.archive`];
  await create(queue, `${queue}.dead`, rest, other);
  const consumer = await member(queue, other);
  await (await member(rest, rest)).disconnect();
  await session.close(prefix, NOTHING);
  expect(await left(prefix)).toEqual([queue]);
  expect(await groups()).toContain(queue);
  const closing = harness.close();
  await consumer.disconnect();
  await closing;
  expect([await left(prefix), await left(other)]).toEqual([[], [other]]);
});

kafkaTest('what a run that crashed left is removed by the next one, and nothing else', async () => {
  const prefix = `c${randomUUID()}`;
  const [desk, notes] = [`${prefix}.desk`, `${prefix}.notes`];
  const made = [desk, notes, `${desk}.dead`, `${desk}.delay.1s`];
  const others = [`${desk}s`, `${desk}.other`];
  await create(...made, ...others);
  await (await member(desk, desk)).disconnect();
  const { stdout } = await promisify(execFile)(process.execPath, ['--print', 'process.pid']);
  const topic = { name: notes, keyed: false };
  const topology = { topics: [topic], queues: [{ name: desk, ordered: false, bindings: [] }] };
  noteTraces(tracesOf(kafka.brokers, topology), Number(stdout));
  expect((await left(prefix)).length).toBe(made.length + others.length + 1);
  const session = await givenHarness().open();
  await eventually(async () => expect(await left(prefix)).toEqual(others.toSorted()));
  await session.close(prefix, NOTHING);
});
