import { randomBytes } from 'node:crypto';

import {
  GetSubscriptionAttributesCommand,
  ListSubscriptionsByTopicCommand,
  type SNSClient,
  SubscribeCommand,
} from '@aws-sdk/client-sns';
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  type QueueAttributeName,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import type { Queue, Topic, Topology } from '@waybill/core/driver';
import { sqs, type SqsDriver, type SqsOptions } from '@waybill/sqs';
import { onTestFinished } from 'vitest';

import type { Localemu } from '../../src/index.ts';
import { localemuTest, sharedElasticmq, sharedLocalemu } from '../shared.ts';

/** A test that knows the account and makes users: left out where SQS is given. */
export const serverTest = localemuTest;

export interface Server {
  readonly name: string;
  /** Of a user who may do everything; there once tests run. */
  readonly options: () => SqsOptions;
}

/** What rights are for: users of its own, and topics. */
export const localemu: Server & { readonly server: () => Localemu } = {
  name: 'LocalEmu',
  server: sharedLocalemu,
  options: () => optionsOf(sharedLocalemu()),
};

/** It has no topics. */
export const elasticmq: Server = {
  name: 'ElasticMQ',
  options: () => ({ ...optionsOf(sharedElasticmq()), topics: false }),
};

function optionsOf({
  region,
  endpoint,
  credentials,
}: Pick<Localemu, 'region' | 'endpoint' | 'credentials'>): SqsOptions {
  return {
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  };
}

/** A driver that is closed with its test. */
export function openDriver(options: SqsOptions): SqsDriver {
  const driver = sqs(options);
  onTestFinished(() => driver.close(Date.now() + 2_000));
  return driver;
}

export function soon(): AbortSignal {
  return AbortSignal.timeout(25_000);
}

export function uniqueName(name: string): string {
  return `${name}-${randomBytes(5).toString('hex')}`;
}

/** A topic, keyed or not, that no other test has. */
export function aTopic(keyed = false): Topic {
  return { name: uniqueName('topic'), keyed };
}

export function aQueue(ordered = false, bindings: Queue['bindings'] = []): Queue {
  return { name: uniqueName('queue'), ordered, bindings };
}

export function topologyOf(...queues: readonly Queue[]): Topology {
  const topics = queues.flatMap(({ bindings }) => bindings.map(({ topic }) => topic));
  return { topics, queues };
}

/** Makes a queue past Waybill; resolves with its ARN. */
export async function createQueue(
  client: SQSClient,
  entity: string,
  attributes: Partial<Record<QueueAttributeName, string>> = {},
): Promise<string> {
  const fifo = entity.endsWith('.fifo') ? { FifoQueue: 'true' } : {};
  await client.send(new CreateQueueCommand({ QueueName: entity, Attributes: { ...fifo, ...attributes } }));
  return (await attributesOf(client, entity))['QueueArn'] ?? '';
}

export async function urlOf(client: SQSClient, entity: string): Promise<string> {
  return (await client.send(new GetQueueUrlCommand({ QueueName: entity }))).QueueUrl ?? '';
}

export async function attributesOf(client: SQSClient, entity: string): Promise<Record<string, string>> {
  const QueueUrl = await urlOf(client, entity);
  const answer = await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  return answer.Attributes ?? {};
}

/** The queues there are whose names begin so. */
export async function queuesOf(client: SQSClient, start: string): Promise<readonly string[]> {
  const { QueueUrls = [] } = await client.send(new ListQueuesCommand({ QueueNamePrefix: start }));
  return QueueUrls.map((url) => url.slice(url.lastIndexOf('/') + 1)).toSorted();
}

/** The attributes of the one subscription that a queue has to a topic, by their ARNs. */
export async function subscriptionOf(
  client: SNSClient,
  TopicArn: string,
  queueArn: string,
): Promise<Record<string, string>> {
  const { Subscriptions = [] } = await client.send(new ListSubscriptionsByTopicCommand({ TopicArn }));
  const own = Subscriptions.filter(({ Endpoint }) => Endpoint === queueArn);
  if (own.length !== 1) throw new Error(`${queueArn} has ${own.length} subscriptions.`);
  const SubscriptionArn = own[0]?.SubscriptionArn;
  return (await client.send(new GetSubscriptionAttributesCommand({ SubscriptionArn }))).Attributes ?? {};
}

/** Subscribes a queue past Waybill. */
export async function subscribe(
  client: SNSClient,
  TopicArn: string,
  queueArn: string,
  attributes: Record<string, string>,
): Promise<void> {
  await client.send(new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint: queueArn, Attributes: attributes }));
}

export function snsOf(driver: SqsDriver): SNSClient {
  if (driver.snsClient === undefined) throw new Error('A driver without topics.');
  return driver.snsClient;
}

/** In the account and region of the servers that the harness starts. */
export function arnOf(service: 'sqs' | 'sns', entity: string): string {
  return `arn:aws:${service}:us-east-1:000000000000:${entity}`;
}

/** What a call that must fail rejects with. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error('It did not fail.');
}
