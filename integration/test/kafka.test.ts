import { randomUUID } from 'node:crypto';

import { Kafka as Client, type KafkaConfig, logLevel, Partitioners, type Producer, type SASLOptions } from 'kafkajs';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, vi } from 'vitest';

import {
  attachKafka,
  eventually,
  type Kafka,
  kafkaPassword,
  kafkaProxies,
  type KafkaProxies,
  kafkaUser,
  startKafka,
  throughProxies,
} from '../src/index.ts';
import { hasKafkaContainers, kafkaTest, sharedToxiproxy } from './shared.ts';

let single: Kafka;
let cluster: Kafka;

beforeAll(async () => {
  if (hasKafkaContainers) {
    [single, cluster] = await Promise.all([startKafka({ security: 'sasl' }), startKafka({ nodes: 3 })]);
  }
});

afterAll(async () => {
  await Promise.all([single?.stop(), cluster?.stop()]);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

function clientFor(config: KafkaConfig): Client {
  return new Client({
    logLevel: logLevel.NOTHING,
    connectionTimeout: 2_000,
    requestTimeout: 4_000,
    retry: { retries: 5, initialRetryTime: 200 },
    ...config,
  });
}

async function createTopic(kafka: Kafka, numPartitions = 1): Promise<string> {
  const topic = `harness.${randomUUID()}`;
  const admin = clientFor({ brokers: [...kafka.brokers] }).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true });
  await admin.disconnect();
  return topic;
}

async function openProducer(config: KafkaConfig): Promise<Producer> {
  const producer = clientFor(config).producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    allowAutoTopicCreation: false,
  });
  onTestFinished(() => producer.disconnect());
  await producer.connect();
  return producer;
}

async function send(producer: Producer, topic: string, value: string): Promise<void> {
  await producer.send({ topic, acks: -1, messages: [{ key: null, value }] });
}

/** What a new group receives from the beginning, so many messages of it. */
async function receive(config: KafkaConfig, topic: string, count: number): Promise<string[]> {
  const consumer = clientFor(config).consumer({ groupId: `harness.${randomUUID()}`, maxWaitTimeInMs: 100 });
  const values: string[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void values.push(String(message.value)) });
  await eventually(() => values.length >= count, { withinMs: 20_000 });
  await consumer.disconnect();
  return values;
}

async function openProxies(kafka: Kafka): Promise<[KafkaProxies, KafkaConfig]> {
  const proxies = await kafkaProxies(sharedToxiproxy(), kafka);
  onTestFinished(() => proxies.close());
  return [proxies, { brokers: [...proxies.brokers], socketFactory: throughProxies(proxies.addresses) }];
}

kafkaTest('a node takes messages and a group receives them', async () => {
  expect(single.version).toMatch(/^\d+\.\d+\.\d+$/);
  const config = { brokers: [...single.brokers] };
  const topic = await createTopic(single, 3);
  const producer = await openProducer(config);
  for (const value of ['a', 'b', 'c']) await send(producer, topic, value);
  expect((await receive(config, topic, 3)).toSorted()).toEqual(['a', 'b', 'c']);
});

kafkaTest('a topic that nobody created is not there', async () => {
  const producer = await openProducer({ brokers: [...single.brokers], retry: { retries: 0 } });
  await expect(send(producer, `harness.${randomUUID()}`, 'lost')).rejects.toThrow('does not host this topic');
});

kafkaTest('a node that is killed comes back on the same port with what it confirmed', async () => {
  const config = { brokers: [...single.brokers] };
  const topic = await createTopic(single);
  await send(await openProducer(config), topic, 'survives');
  const [node] = attachKafka(single.descriptor).nodes;
  await node?.kill();
  await expect(openProducer({ ...config, retry: { retries: 0 } })).rejects.toThrow('ECONNREFUSED');
  await node?.start();
  expect(await receive(config, topic, 1)).toEqual(['survives']);
});

kafkaTest('restart ends a node in good order', async () => {
  const config = { brokers: [...single.brokers] };
  const topic = await createTopic(single);
  await send(await openProducer(config), topic, 'stays');
  await single.nodes[0]?.restart();
  expect(await receive(config, topic, 1)).toEqual(['stays']);
});

kafkaTest('a paused node keeps connections and answers after it is unpaused', async () => {
  const topic = await createTopic(single);
  const producer = await openProducer({ brokers: [...single.brokers], requestTimeout: 20_000 });
  await send(producer, topic, 'before');
  await single.nodes[0]?.pause();
  const confirmed = send(producer, topic, 'waits');
  await expect(eventually(() => confirmed, { withinMs: 500 })).rejects.toThrow('did not end');
  await single.nodes[0]?.unpause();
  await confirmed;
});

kafkaTest('a cut closes the way to every node, and the client goes on through the proxies', async () => {
  const [proxies, config] = await openProxies(cluster);
  const topic = await createTopic(cluster, 3);
  const producer = await openProducer(config);
  await send(producer, topic, 'before');
  await proxies.cut();
  await send(producer, topic, 'after');
  expect((await receive(config, topic, 2)).toSorted()).toEqual(['after', 'before']);
  await proxies.refuse(true);
  await expect(openProducer({ ...config, retry: { retries: 0 } })).rejects.toThrow('ECONNREFUSED');
});

kafkaTest('a lost confirm is a message that the cluster has stored', async () => {
  const [proxies, config] = await openProxies(single);
  const topic = await createTopic(single);
  const producer = await openProducer({ ...config, retry: { retries: 0 } });
  await send(producer, topic, 'before');
  await proxies.loseAnswers(true);
  const unconfirmed = send(producer, topic, 'stored').then(
    () => 'confirmed',
    () => 'unconfirmed',
  );
  expect(await receive({ brokers: [...single.brokers] }, topic, 2)).toEqual(['before', 'stored']);
  await proxies.cut();
  expect(await unconfirmed).toBe('unconfirmed');
});

kafkaTest('a black hole stops confirms, latency delays them', async () => {
  const [proxies, config] = await openProxies(single);
  const topic = await createTopic(single);
  const producer = await openProducer(config);
  await send(producer, topic, 'first');
  await proxies.latency(150);
  const startedAt = performance.now();
  await send(producer, topic, 'slow');
  expect(performance.now() - startedAt).toBeGreaterThan(290);
  await proxies.latency(0);
  await proxies.blackHole(true);
  const confirmed = send(producer, topic, 'waits');
  await expect(eventually(() => confirmed, { withinMs: 500 })).rejects.toThrow('did not end');
  await proxies.blackHole(false);
  await confirmed;
});

kafkaTest('a leader moves to the node that is named', async () => {
  const topic = await createTopic(cluster);
  const producer = await openProducer({ brokers: [...cluster.brokers] });
  await send(producer, topic, 'before');
  const from = await cluster.leaderOf(topic, 0);
  const to = (from % 3) + 1;
  await cluster.moveLeader(topic, 0, to);
  expect(await cluster.leaderOf(topic, 0)).toBe(to);
  await send(producer, topic, 'after');
  expect(await receive({ brokers: [...cluster.brokers] }, topic, 2)).toEqual(['before', 'after']);
});

kafkaTest('a cluster goes on when the leader is killed and takes the node back', { timeout: 90_000 }, async () => {
  const config = { brokers: [...cluster.brokers] };
  const topic = await createTopic(cluster);
  const producer = await openProducer({ ...config, retry: { retries: 8, initialRetryTime: 200 } });
  await send(producer, topic, 'before');
  const leader = await cluster.leaderOf(topic, 0);
  const node = cluster.nodes.find(({ id }) => id === leader);
  await node?.kill();
  await send(producer, topic, 'without it');
  await eventually(async () => expect(await cluster.leaderOf(topic, 0)).not.toBe(leader), { withinMs: 30_000 });
  await node?.start();
  await cluster.moveLeader(topic, 0, leader);
  expect(await receive(config, topic, 2)).toEqual(['before', 'without it']);
});

const mechanisms: SASLOptions['mechanism'][] = ['plain', 'scram-sha-256', 'scram-sha-512'];

function login(mechanism: SASLOptions['mechanism'], password = kafkaPassword): SASLOptions {
  return { mechanism, username: kafkaUser, password } as SASLOptions;
}

kafkaTest('secured listeners take every mechanism and refuse who has no password', async () => {
  const { sasl = [], saslTls = [], ca = '' } = single.secured ?? {};
  const topic = await createTopic(single);
  const once = { retry: { retries: 0 } };
  for (const config of [{ brokers: [...sasl] }, { brokers: [...saslTls], ssl: { ca } }]) {
    for (const mechanism of mechanisms) {
      await send(await openProducer({ ...config, sasl: login(mechanism) }), topic, mechanism);
      const wrong = openProducer({ ...config, ...once, sasl: login(mechanism, 'wrong') });
      await expect(wrong).rejects.toThrow(/authentication failed/i);
    }
    const nobody = await openProducer({ ...config, ...once });
    await expect(send(nobody, topic, 'nobody')).rejects.toThrow(/closed connection/i);
  }
});

kafkaTest('TLS listeners show a certificate that only the given authority vouches for', async () => {
  const { tls = [], saslTls = [], ca = '' } = single.secured ?? {};
  const topic = await createTopic(single);
  await send(await openProducer({ brokers: [...tls], ssl: { ca } }), topic, 'encrypted');
  const [proxies] = await openProxies({ ...single, brokers: saslTls });
  const config = { brokers: [...proxies.brokers], socketFactory: throughProxies(proxies.addresses), ssl: { ca } };
  await send(await openProducer({ ...config, sasl: login('plain') }), topic, 'through a proxy');
  const unknown = openProducer({ brokers: [...tls], ssl: true, retry: { retries: 0 } });
  await expect(unknown).rejects.toThrow('self-signed certificate');
});

kafkaTest('a Kafka given by its brokers is taken as it is and refuses faults that need a container', async () => {
  vi.stubEnv('WAYBILL_KAFKA_BROKERS', cluster.brokers.join(', '));
  const lines: string[] = [];
  const given = await startKafka({ progress: (line) => lines.push(line) });
  expect(given.descriptor).toEqual({ brokers: cluster.brokers, version: 'unknown', containerIds: [] });
  expect(lines).toEqual(['broker: Kafka of WAYBILL_KAFKA_BROKERS with 3 nodes, no container']);
  await expect(given.nodes[0]?.kill()).rejects.toThrow('unset WAYBILL_KAFKA_BROKERS');
  await given.stop();
});
