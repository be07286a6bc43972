import {
  ChangeMessageVisibilityCommand,
  DeleteMessageBatchCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest';

import { attachElasticmq, type Elasticmq, eventually, startElasticmq, startProxy } from '../src/index.ts';
import { containerTest, hasContainers, sharedToxiproxy } from './shared.ts';
import { attribute, createQueue, openSqs, receive, sendAll, take } from './sqs-client.ts';

let server: Elasticmq;

beforeAll(async () => {
  if (hasContainers) {
    server = await startElasticmq();
  }
});

afterAll(async () => {
  await server?.stop();
});

containerTest('a FIFO group goes on in order after a visibility timeout', async () => {
  const sqs = openSqs(server);
  const queue = await createQueue(sqs, { fifo: true, attributes: { VisibilityTimeout: '1' } });
  await sendAll(sqs, queue, ['1', '2', '3'], 'group');
  expect((await receive(sqs, queue, 1)).map(({ Body }) => Body)).toEqual(['1']);
  // The first is out: its group waits for it.
  expect(await take(sqs, queue, 3)).toEqual(['1', '2', '3']);
});

containerTest('the first of several received ones that is released holds back the others of its group', async () => {
  const sqs = openSqs(server);
  const QueueUrl = await createQueue(sqs, { fifo: true });
  await sendAll(sqs, QueueUrl, ['1', '2', '3'], 'group');
  const [first, second] = await receive(sqs, QueueUrl, 2);
  for (const { ReceiptHandle } of [second, first].flatMap((message) => message ?? [])) {
    await sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }));
  }
  expect(await take(sqs, QueueUrl, 3)).toEqual(['1', '2', '3']);
});

containerTest('a batch of deletions tells which of them failed', async () => {
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

containerTest('a message that was received too often goes to the dead queue', async () => {
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

containerTest('what it answered for is there again after SIGKILL', { timeout: 90_000 }, async () => {
  const own = await startElasticmq();
  onTestFinished(() => own.stop());
  const sqs = openSqs(own);
  const queue = await createQueue(sqs, { attributes: { VisibilityTimeout: '1' } });
  await sendAll(sqs, queue, ['held']);
  await receive(sqs, queue);
  await sqs.send(new SendMessageCommand({ QueueUrl: queue, MessageBody: 'later', DelaySeconds: 2 }));
  const answered = ['held', 'later'];
  // It is killed between an answer and the next, not after a pause in which it could write.
  const sending = sendUntilItEnds(sqs, queue, answered);
  await eventually(() => answered.length > 50);
  await own.kill();
  await sending;
  await own.start();
  expect(await take(sqs, queue, answered.length)).toEqual(expect.arrayContaining(answered));
});

async function sendUntilItEnds(sqs: SQSClient, queue: string, answered: string[]): Promise<void> {
  try {
    for (let batch = 0; ; batch += 1) {
      const bodies = Array.from({ length: 10 }, (_, index) => `${batch}-${index}`);
      await sendAll(sqs, queue, bodies);
      answered.push(...bodies);
    }
  } catch {
    // It is gone.
  }
}

containerTest('in memory it forgets everything', { timeout: 60_000 }, async () => {
  const own = await startElasticmq({ storage: 'memory' });
  onTestFinished(() => own.stop());
  const sqs = openSqs(own);
  const queue = await createQueue(sqs);
  await own.kill();
  await own.start();
  await expect(receive(sqs, queue)).rejects.toThrow('does not exist');
});

containerTest(
  'another process reaches it by its descriptor, and stops it for a while',
  { timeout: 60_000 },
  async () => {
    const own = await startElasticmq();
    onTestFinished(() => own.stop());
    const attached = attachElasticmq(structuredClone(own.descriptor));
    expect(attached.version).toMatch(/^\d+\.\d+\.\d+$/);
    const sqs = openSqs(attached);
    const queue = await createQueue(sqs);
    await attached.pause();
    const sent = sendAll(sqs, queue, ['waits']);
    await attached.unpause();
    await sent;
    expect(await take(sqs, queue, 1)).toEqual(['waits']);
  },
);

containerTest('a proxy before it cuts connections and loses answers', async () => {
  const proxy = await startProxy(sharedToxiproxy(), server.endpoint);
  onTestFinished(() => proxy.close());
  const direct = openSqs(server);
  const queue = await createQueue(direct);
  const sqs = openSqs({ ...server.descriptor, endpoint: proxy.url });
  await sendAll(sqs, queue, ['first']);
  await proxy.loseAnswers(true);
  const unanswered = expect(sendAll(sqs, queue, ['stored'])).rejects.toThrow(/ECONNRESET|hang up/);
  expect((await take(direct, queue, 2)).toSorted()).toEqual(['first', 'stored']);
  await proxy.cut();
  await unanswered;
  await proxy.refuse(true);
  await expect(sendAll(sqs, queue, ['refused'])).rejects.toThrow('ECONNREFUSED');
});
