import { randomBytes } from 'node:crypto';
import { env } from 'node:process';
import { DeleteTopicCommand, paginateListTopics } from '@aws-sdk/client-sns';
import { DeleteQueueCommand, paginateListQueues } from '@aws-sdk/client-sqs';
import { ServiceBusAdministrationClient } from '@azure/service-bus';
import type { Driver, Topology } from '@waybill/core';
import { deadName } from '@waybill/core/driver';
import { kafka, type KafkaDriver } from '@waybill/kafka';
import { memory, MemoryBroker } from '@waybill/memory';
import { rabbitmq } from '@waybill/rabbitmq';
import { serviceBus } from '@waybill/service-bus';
import { sqs, type SqsDriver, type SqsOptions } from '@waybill/sqs';
import type { Shutdown } from './shutdown.ts';

/** Where the demo runs. All that depends on the broker is in this file. */
export interface Broker {
  readonly title: string;
  /** Keeps runs apart on a broker that others use. */
  readonly prefix: string;
  /** A driver for one service. */
  connect(): Driver;
  /** Removes what the run made on a broker that stays. */
  clean(topology: Topology): Promise<void>;
}

interface OpenOptions {
  readonly url: string | undefined;
  readonly shutdown: Shutdown;
}

const brokers = {
  memory: openMemory,
  rabbitmq: openRabbitmq,
  kafka: openKafka,
  sqs: openSqs,
  'service-bus': openServiceBus,
};

export type BrokerName = keyof typeof brokers;

export const brokerNames = Object.keys(brokers) as readonly BrokerName[];

export function isBrokerName(name: string): name is BrokerName {
  return Object.hasOwn(brokers, name);
}

/** What it starts, `shutdown` stops. */
export function openBroker(name: BrokerName, options: OpenOptions): Promise<Broker> {
  return brokers[name](options);
}

async function openMemory(): Promise<Broker> {
  const broker = new MemoryBroker();
  return { title: 'memory, a broker in this process', prefix: '', connect: () => memory({ broker }), clean: nothing };
}

async function openRabbitmq({ url, shutdown }: OpenOptions): Promise<Broker> {
  const prefix = newPrefix();
  if (url !== undefined) {
    const connect = (): Driver => rabbitmq({ url });
    return { title: 'the RabbitMQ of --url', prefix, connect, clean: (topology) => removeFrom(url, topology) };
  }
  // Only needed here, and slow to load.
  const { printProgress, startRabbitmq } = await import('@waybill/integration');
  const starting = startRabbitmq({ progress: printProgress() });
  shutdown.add(() => starting.then((started) => started.stop(), nothing));
  const started = await starting;
  const title = `RabbitMQ ${started.version}, started for this run`;
  return { title, prefix, connect: () => rabbitmq({ url: started.url }), clean: nothing };
}

async function openKafka({ url, shutdown }: OpenOptions): Promise<Broker> {
  const prefix = newPrefix();
  const { title, addresses } = url === undefined ? await startedKafka(shutdown) : givenKafka(url);
  const connect = (): KafkaDriver => kafka({ brokers: addresses });
  return { title, prefix, connect, clean: () => removeFromKafka(connect(), prefix) };
}

interface Cluster {
  readonly title: string;
  readonly addresses: readonly string[];
}

function givenKafka(url: string): Cluster {
  return { title: 'the Kafka of --url', addresses: url.split(',').map((address) => address.trim()) };
}

async function startedKafka(shutdown: Shutdown): Promise<Cluster> {
  const { printProgress, startKafka } = await import('@waybill/integration');
  const starting = startKafka({ progress: printProgress() });
  shutdown.add(() => starting.then((started) => started.stop(), nothing));
  const { brokers: addresses, version } = await starting;
  return { title: `Kafka ${version}, started for this run`, addresses };
}

async function openSqs({ url, shutdown }: OpenOptions): Promise<Broker> {
  // On Node 20 the AWS SDK would print that its versions of 2027 need a newer one.
  env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const prefix = newPrefix();
  const { title, options } = url === undefined ? await startedSqs(shutdown) : givenSqs(url);
  const connect = (): SqsDriver => sqs(options);
  return { title, prefix, connect, clean: url === undefined ? nothing : () => removeFromSqs(connect(), prefix) };
}

interface Account {
  readonly title: string;
  readonly options: SqsOptions;
}

/** A region of AWS, or the url of another server. Credentials are found as the AWS SDK finds them. */
function givenSqs(url: string): Account {
  if (!url.includes(':')) return { title: `SQS and SNS in ${url}`, options: { region: url } };
  return { title: 'the SQS of --url', options: { endpoint: url, region: 'us-east-1' } };
}

async function startedSqs(shutdown: Shutdown): Promise<Account> {
  const { printProgress, startLocalemu } = await import('@waybill/integration');
  const starting = startLocalemu({ progress: printProgress() });
  shutdown.add(() => starting.then((started) => started.stop(), nothing));
  const { version, region, endpoint, credentials } = await starting;
  return {
    title: `SQS and SNS of LocalEmu ${version}, started for this run`,
    options: {
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
    },
  };
}

async function openServiceBus({ url, shutdown }: OpenOptions): Promise<Broker> {
  const prefix = newPrefix();
  if (url !== undefined) {
    const connect = (): Driver => serviceBus({ connectionString: url });
    const clean = (topology: Topology): Promise<void> => removeFromServiceBus(url, topology);
    return { title: 'the Service Bus of --url', prefix, connect, clean };
  }
  const { printProgress, startServiceBusStandin } = await import('@waybill/integration');
  const starting = startServiceBusStandin({ progress: printProgress() });
  shutdown.add(() => starting.then((started) => started.stop(), nothing));
  const { connectionString, managementUrl } = await starting;
  const connect = (): Driver => serviceBus({ connectionString, managementUrl });
  return { title: 'a stand-in for Azure Service Bus, started for this run', prefix, connect, clean: nothing };
}

/** The queues of the delay ladder, `waybill.delay.*`, stay: all applications on a broker share them. */
async function removeFrom(url: string, { queues, topics }: Topology): Promise<void> {
  const driver = rabbitmq({ url });
  try {
    const channel = await (await driver.connection()).createChannel();
    for (const { name } of queues) {
      await channel.deleteQueue(name);
      await channel.deleteQueue(deadName(name));
    }
    for (const { name } of topics) await channel.deleteExchange(name);
  } finally {
    await driver.close(Date.now() + 2_000);
  }
}

/** Subscriptions go with their topics. */
async function removeFromServiceBus(connectionString: string, { queues, topics }: Topology): Promise<void> {
  const client = new ServiceBusAdministrationClient(connectionString);
  for (const { name } of topics) await client.deleteTopic(name);
  for (const { name } of queues) await client.deleteQueue(name);
}

/** The topic `waybill.bindings` stays: all applications on a cluster share it. */
async function removeFromKafka(driver: KafkaDriver, prefix: string): Promise<void> {
  const admin = driver.client.admin();
  const isOurs = (name: string): boolean => name.startsWith(`${prefix}.`);
  try {
    await admin.connect();
    const topics = (await admin.listTopics()).filter(isOurs);
    if (topics.length > 0) await admin.deleteTopics({ topics });
    const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId).filter(isOurs);
    if (groups.length > 0) await admin.deleteGroups(groups);
  } finally {
    await admin.disconnect();
    await driver.close(Date.now() + 2_000);
  }
}

async function removeFromSqs(driver: SqsDriver, prefix: string): Promise<void> {
  const { client, snsClient } = driver;
  try {
    for await (const { QueueUrls = [] } of paginateListQueues({ client }, { QueueNamePrefix: `${prefix}_` })) {
      for (const QueueUrl of QueueUrls) await client.send(new DeleteQueueCommand({ QueueUrl }));
    }
    if (snsClient === undefined) return;
    for await (const { Topics = [] } of paginateListTopics({ client: snsClient }, {})) {
      const ours = Topics.filter(({ TopicArn }) => TopicArn?.includes(`:${prefix}_`) === true);
      for (const { TopicArn } of ours) await snsClient.send(new DeleteTopicCommand({ TopicArn }));
    }
  } finally {
    await driver.close(Date.now() + 2_000);
  }
}

function newPrefix(): string {
  return `demo-${randomBytes(4).toString('hex')}`;
}

async function nothing(): Promise<void> {}
