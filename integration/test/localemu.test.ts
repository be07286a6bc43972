import {
  CreateTopicCommand,
  PublishBatchCommand,
  PublishCommand,
  SNSClient,
  SubscribeCommand,
} from '@aws-sdk/client-sns';
import { ChangeMessageVisibilityCommand, DeleteMessageBatchCommand } from '@aws-sdk/client-sqs';
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, vi } from 'vitest';

import { attachLocalemu, type Localemu, sqsClientSettings, startLocalemu } from '../src/index.ts';
import { attribute, createQueue, openSqs, receive, sendAll, take } from './sqs-client.ts';
import { hasLocalemuContainers, localemuTest } from './shared.ts';

let server: Localemu;

beforeAll(async () => {
  if (hasLocalemuContainers) {
    server = await startLocalemu();
  }
});

afterAll(async () => {
  await server?.stop();
});

afterEach(() => {
  vi.unstubAllEnvs();
});

function openSns(of: Localemu): SNSClient {
  const client = new SNSClient({ ...sqsClientSettings(of), maxAttempts: 1 });
  onTestFinished(() => client.destroy());
  return client;
}

async function createTopic(sns: SNSClient, fifo: boolean): Promise<string> {
  const { TopicArn = '' } = await sns.send(
    new CreateTopicCommand({
      Name: `${randomUUID()}${fifo ? '.fifo' : ''}`,
      Attributes: fifo ? { FifoTopic: 'true', ContentBasedDeduplication: 'true' } : {},
    }),
  );
  return TopicArn;
}

function subscribe(sns: SNSClient, TopicArn: string, Endpoint: string, filter?: object): Promise<unknown> {
  return sns.send(
    new SubscribeCommand({
      TopicArn,
      Protocol: 'sqs',
      Endpoint,
      Attributes: {
        RawMessageDelivery: 'true',
        ...(filter === undefined ? {} : { FilterPolicy: JSON.stringify(filter) }),
      },
    }),
  );
}

localemuTest('a FIFO group goes on in order after a visibility timeout', async () => {
  const sqs = openSqs(server);
  const queue = await createQueue(sqs, { fifo: true, attributes: { VisibilityTimeout: '1' } });
  await sendAll(sqs, queue, ['1', '2', '3'], 'group');
  expect((await receive(sqs, queue, 1)).map(({ Body }) => Body)).toEqual(['1']);
  expect(await take(sqs, queue, 3)).toEqual(['1', '2', '3']);
});

localemuTest('a FIFO message cannot be deleted once its visibility timeout is over', async () => {
  const sqs = openSqs(server);
  const QueueUrl = await createQueue(sqs, { fifo: true });
  await sendAll(sqs, QueueUrl, ['1'], 'group');
  const [message] = await receive(sqs, QueueUrl);
  const { ReceiptHandle } = message ?? {};
  await sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }));
  const Entries = [{ Id: 'late', ReceiptHandle }];
  const { Failed } = await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
  expect(Failed?.map(({ Id }) => Id)).toEqual(['late']);
  expect(await take(sqs, QueueUrl, 1)).toEqual(['1']);
});

localemuTest('a batch of deletions tells which of them failed', async () => {
  const sqs = openSqs(server);
  const QueueUrl = await createQueue(sqs);
  await sendAll(sqs, QueueUrl, ['one']);
  const [message] = await receive(sqs, QueueUrl);
  const Entries = [
    { Id: 'good', ReceiptHandle: message?.ReceiptHandle },
    { Id: 'bad', ReceiptHandle: 'nonsense' },
  ];
  const { Successful, Failed } = await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
  expect(Successful?.map(({ Id }) => Id)).toEqual(['good']);
  expect(Failed?.map(({ Id }) => Id)).toEqual(['bad']);
});

localemuTest('a message that was received too often goes to the dead queue', async () => {
  const sqs = openSqs(server);
  const dead = await createQueue(sqs);
  const deadLetterTargetArn = await attribute(sqs, dead, 'QueueArn');
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 1 });
  const queue = await createQueue(sqs, { attributes: { RedrivePolicy, VisibilityTimeout: '0' } });
  await sendAll(sqs, queue, ['letter']);
  expect(await receive(sqs, queue)).toHaveLength(1);
  expect(await receive(sqs, queue)).toEqual([]);
  expect(await take(sqs, dead, 1)).toEqual(['letter']);
});

localemuTest.for([false, true])('SNS delivers raw what a filter lets through, FIFO: %s', async (fifo) => {
  const sqs = openSqs(server);
  const sns = openSns(server);
  const TopicArn = await createTopic(sns, fifo);
  const [all, some] = [await createQueue(sqs, { fifo }), await createQueue(sqs, { fifo })];
  await subscribe(sns, TopicArn, await attribute(sqs, all, 'QueueArn'));
  await subscribe(sns, TopicArn, await attribute(sqs, some, 'QueueArn'), { kind: ['wanted'] });
  for (const [Message, kind] of [
    ['1', 'other'],
    ['2', 'wanted'],
    ['3', 'other'],
    ['4', 'wanted'],
  ] as const) {
    const MessageAttributes = { kind: { DataType: 'String', StringValue: kind } };
    const group = fifo ? { MessageGroupId: 'group' } : {};
    await sns.send(new PublishCommand({ TopicArn, Message, MessageAttributes, ...group }));
  }
  const ordered = (bodies: string[]): string[] => (fifo ? bodies : bodies.toSorted());
  expect(ordered(await take(sqs, all, 4))).toEqual(['1', '2', '3', '4']);
  expect(ordered(await take(sqs, some, 2))).toEqual(['2', '4']);
});

localemuTest('a restart loses nothing that was answered', { timeout: 120_000 }, async () => {
  const own = await startLocalemu();
  onTestFinished(() => own.stop());
  const [sqs, sns] = [openSqs(own), openSns(own)];
  const held = await createQueue(sqs, { attributes: { VisibilityTimeout: '1' } });
  await sendAll(sqs, held, ['held']);
  await receive(sqs, held);
  const TopicArn = await createTopic(sns, true);
  const queues = await Promise.all([1, 2, 3].map(() => createQueue(sqs, { fifo: true })));
  for (const queue of queues) {
    await subscribe(sns, TopicArn, await attribute(sqs, queue, 'QueueArn'));
  }
  const batches = Array.from({ length: 40 }, (_, batch) =>
    Array.from({ length: 10 }, (_entry, index) => {
      return { Id: String(index), Message: `${batch}-${index}`, MessageGroupId: String(index) };
    }),
  );
  await Promise.all(
    batches.map((PublishBatchRequestEntries) =>
      sns.send(new PublishBatchCommand({ TopicArn, PublishBatchRequestEntries })),
    ),
  );
  // It delivers after it has answered: this is what an end at once would lose.
  expect(Number(await attribute(sqs, queues[2] ?? '', 'ApproximateNumberOfMessages'))).toBeLessThan(400);
  await own.restart();
  for (const queue of queues) {
    expect(await attribute(sqs, queue, 'ApproximateNumberOfMessages')).toBe('400');
  }
  expect(await take(sqs, held, 1)).toEqual(['held']);
});

localemuTest('who is killed answers nobody until it is started', { timeout: 60_000 }, async () => {
  const own = await startLocalemu();
  onTestFinished(() => own.stop());
  const sqs = openSqs(own);
  const queue = await createQueue(sqs);
  const waiting = expect(receive(sqs, queue).then(() => receive(sqs, queue))).rejects.toThrow(
    /ECONNRESET|ECONNREFUSED|hang up/,
  );
  await own.kill();
  await waiting;
  await expect(receive(sqs, queue)).rejects.toThrow('ECONNREFUSED');
});

localemuTest('a user may do what a statement allows, and nothing else', async () => {
  const queue = await createQueue(openSqs(server));
  const QueueArn = await attribute(openSqs(server), queue, 'QueueArn');
  const nobody = openSqs({ ...server.descriptor, credentials: await server.createUser([]) });
  const denied = { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } };
  await expect(sendAll(nobody, queue, ['no'])).rejects.toMatchObject(denied);
  const statement = { Effect: 'Allow', Action: ['sqs:SendMessage'], Resource: QueueArn } as const;
  const sender = openSqs({ ...server.descriptor, credentials: await server.createUser([statement]) });
  await sendAll(sender, queue, ['yes']);
  await expect(receive(sender, queue)).rejects.toMatchObject(denied);
  const unknown = { accessKeyId: 'NOBODYS0KEY000000000', secretAccessKey: 'unknown' };
  await expect(sendAll(openSqs({ ...server.descriptor, credentials: unknown }), queue, ['no'])).rejects.toMatchObject(
    denied,
  );
});

localemuTest('a queue that refuses writes takes them again, and is read all the time', async () => {
  const sqs = openSqs(server);
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Sid: 'kept', Effect: 'Allow', Principal: '*', Action: 'sqs:SendMessage', Resource: '*' }],
  });
  for (const attributes of [{}, { Policy }]) {
    const queue = await createQueue(sqs, { attributes });
    await sendAll(sqs, queue, ['before']);
    await server.refuseWrites(queue, true);
    await expect(sendAll(sqs, queue, ['refused'])).rejects.toMatchObject({ name: 'AccessDenied' });
    expect(await take(sqs, queue, 1)).toEqual(['before']);
    await server.refuseWrites(queue, false);
    await sendAll(sqs, queue, ['after']);
    expect(await take(sqs, queue, 1)).toEqual(['after']);
    expect(await attribute(sqs, queue, 'Policy')).toBe(attributes.Policy ?? '');
  }
});

localemuTest('one given by its endpoint is taken as it is and refuses faults that need a container', async () => {
  const { accessKeyId, secretAccessKey } = server.credentials ?? {};
  vi.stubEnv('WAYBILL_SQS_ENDPOINT', server.endpoint);
  vi.stubEnv('AWS_ACCESS_KEY_ID', accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', secretAccessKey);
  const lines: string[] = [];
  const given = await startLocalemu({ progress: (line) => lines.push(line) });
  expect(given.descriptor).toEqual({ endpoint: server.endpoint, region: 'us-east-1', version: 'unknown' });
  expect(lines).toHaveLength(1);
  await expect(given.kill()).rejects.toThrow('unset WAYBILL_SQS_REGION and WAYBILL_SQS_ENDPOINT');
  await expect(given.refuseWrites('queue', true)).rejects.toThrow('unset WAYBILL_SQS_REGION');
  await given.stop();
  const attached = attachLocalemu(structuredClone(server.descriptor));
  expect(await attached.createUser([])).toMatchObject({ accessKeyId: expect.any(String) as string });
});
