import { randomUUID } from 'node:crypto';

import {
  type CreateQueueCommandInput,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  type Message,
  type QueueAttributeName,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { onTestFinished } from 'vitest';

import { eventually, sqsClientSettings, type SqsDescriptor } from '../src/index.ts';

/** A client that tries each request once, until the test ends. */
export function openSqs(server: SqsDescriptor): SQSClient {
  const client = new SQSClient({ ...sqsClientSettings(server), maxAttempts: 1 });
  onTestFinished(() => client.destroy());
  return client;
}

/** Creates a queue under a name of its own, FIFO ones with deduplication by content; resolves with its URL. */
export async function createQueue(
  client: SQSClient,
  options: { fifo?: boolean; attributes?: CreateQueueCommandInput['Attributes'] } = {},
): Promise<string> {
  const fifo = options.fifo === true;
  const { QueueUrl = '' } = await client.send(
    new CreateQueueCommand({
      QueueName: `${randomUUID()}${fifo ? '.fifo' : ''}`,
      Attributes: { ...(fifo ? { FifoQueue: 'true', ContentBasedDeduplication: 'true' } : {}), ...options.attributes },
    }),
  );
  return QueueUrl;
}

/** Sends bodies in one batch, to a FIFO queue in the group that is named. */
export async function sendAll(
  client: SQSClient,
  QueueUrl: string,
  bodies: readonly string[],
  group?: string,
): Promise<void> {
  const Entries = bodies.map((MessageBody, index) => ({
    Id: String(index),
    MessageBody,
    ...(group === undefined ? {} : { MessageGroupId: group }),
  }));
  const { Failed = [] } = await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  if (Failed.length > 0) {
    throw new Error(`Not sent: ${JSON.stringify(Failed)}`);
  }
}

/** Receives once, waiting for a second. */
export async function receive(client: SQSClient, QueueUrl: string, most = 10): Promise<Message[]> {
  const command = new ReceiveMessageCommand({
    QueueUrl,
    MaxNumberOfMessages: most,
    WaitTimeSeconds: 1,
    MessageAttributeNames: ['All'],
    MessageSystemAttributeNames: ['All'],
  });
  return (await client.send(command)).Messages ?? [];
}

/** Receives and deletes until so many messages are there; resolves with their bodies. */
export async function take(client: SQSClient, QueueUrl: string, count: number): Promise<string[]> {
  const bodies: string[] = [];
  await eventually(
    async () => {
      const messages = await receive(client, QueueUrl);
      bodies.push(...messages.map(({ Body = '' }) => Body));
      if (messages.length > 0) {
        const Entries = messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
        await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
      }
      return bodies.length >= count;
    },
    { withinMs: 20_000 },
  );
  return bodies;
}

/** One attribute of a queue. */
export async function attribute(client: SQSClient, QueueUrl: string, name: QueueAttributeName): Promise<string> {
  const { Attributes } = await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [name] }));
  return Attributes?.[name] ?? '';
}
