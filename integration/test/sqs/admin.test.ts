import { ReceiveMessageCommand, SendMessageBatchCommand, type SendMessageBatchRequestEntry } from '@aws-sdk/client-sqs';
import type { Queue } from '@waybill/core/driver';
import type { SqsDriver } from '@waybill/sqs';
import { describe, expect } from 'vitest';

import { eventually } from '../../src/index.ts';
import {
  aQueue,
  failureOf,
  openDriver,
  elasticmq,
  localemu,
  serverTest,
  soon,
  topologyOf,
  urlOf,
} from './admin-kit.ts';

/** Stores so many messages in one of SQS's queues, past Waybill. */
async function store(driver: SqsDriver, entity: string, count: number, delaySeconds?: number): Promise<void> {
  const Entries = Array.from({ length: count }, (_, n): SendMessageBatchRequestEntry => {
    const fifo = { MessageGroupId: `group-${n}`, MessageDeduplicationId: `${n}` };
    const delay = delaySeconds === undefined ? {} : { DelaySeconds: delaySeconds };
    return { Id: `${n}`, MessageBody: `body ${n}`, ...(entity.endsWith('.fifo') ? fifo : {}), ...delay };
  });
  const QueueUrl = await urlOf(driver.client, entity);
  const { Failed = [] } = await driver.client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  expect(Failed).toEqual([]);
}

async function take(driver: SqsDriver, entity: string, count: number): Promise<void> {
  const QueueUrl = await urlOf(driver.client, entity);
  const command = { QueueUrl, MaxNumberOfMessages: count, VisibilityTimeout: 60, WaitTimeSeconds: 1 };
  let taken = 0;
  while (taken < count) {
    const { Messages = [] } = await driver.client.send(
      new ReceiveMessageCommand({ ...command, MaxNumberOfMessages: count - taken }),
    );
    taken += Messages.length;
  }
}

async function applied(driver: SqsDriver, ordered: boolean): Promise<Queue> {
  const queue = aQueue(ordered);
  await driver.admin.apply(topologyOf(queue), soon());
  return queue;
}

describe.each([localemu, elasticmq])('on $name', ({ options, name }) => {
  serverTest.each([false, true])('depth counts each message once, by what it does (ordered: %s)', async (ordered) => {
    const driver = openDriver(options());
    const queue = await applied(driver, ordered);
    const end = ordered ? '.fifo' : '';
    expect(await driver.admin.depth(queue)).toEqual({ ready: 0, inFlight: 0, delayed: 0, deadLettered: 0 });
    await store(driver, `${queue.name}${end}`, 6);
    await take(driver, `${queue.name}${end}`, 2);
    if (!ordered) await store(driver, queue.name, 3, 600);
    await store(driver, `${queue.name}_delay`, 2, 600);
    await store(driver, `${queue.name}_delay`, 3);
    await take(driver, `${queue.name}_delay`, 1);
    await store(driver, `${queue.name}_dead${end}`, 5);
    await take(driver, `${queue.name}_dead${end}`, 2);
    await eventually(async () =>
      expect(await driver.admin.depth(queue)).toEqual({
        ready: 4,
        inFlight: 3,
        delayed: ordered ? 4 : 7,
        deadLettered: 5,
      }),
    );
  });

  serverTest.each([false, true])(
    'purge empties one lane, with what is delayed for it (ordered: %s)',
    async (ordered) => {
      const driver = openDriver(options());
      const queue = await applied(driver, ordered);
      const end = ordered ? '.fifo' : '';
      const fill = async (): Promise<void> => {
        await store(driver, `${queue.name}${end}`, 3);
        if (!ordered) await store(driver, queue.name, 2, 600);
        await store(driver, `${queue.name}_delay`, 2, 600);
        await store(driver, `${queue.name}_dead${end}`, 4);
      };
      await fill();
      await driver.admin.purge(queue, 'work');
      const left = { ready: 0, inFlight: 0, delayed: 0, deadLettered: 4 };
      await eventually(async () => expect(await driver.admin.depth(queue)).toEqual(left));
      await driver.admin.purge(queue, 'dead');
      await eventually(async () => expect(await driver.admin.depth(queue)).toEqual({ ...left, deadLettered: 0 }));
    },
  );

  serverTest('a queue that does not exist has no depth and nothing to purge', async () => {
    const driver = openDriver(options());
    const queue = aQueue();
    const failures = [await failureOf(driver.admin.depth(queue)), await failureOf(driver.admin.purge(queue, 'work'))];
    for (const failure of failures) {
      expect(failure).toMatchObject({ code: 'NOT_FOUND' });
      expect(String(failure)).toMatch(new RegExp(`Queue "${queue.name}(_delay|_dead)?" does not exist\\.`));
    }
  });

  if (name === 'LocalEmu') {
    serverTest('credentials that nobody knows are PERMISSION_DENIED, without the secret in the error', async () => {
      const secretAccessKey = 'Sup3rS3cret/With+Signs';
      const credentials = { accessKeyId: 'nobody-knows-it', secretAccessKey };
      const driver = openDriver({ ...options(), credentials });
      const refused = await failureOf(driver.admin.apply(topologyOf(aQueue()), soon()));
      expect(refused).toMatchObject({ code: 'PERMISSION_DENIED' });
      const { message, stack, cause } = refused as Error;
      expect(`${message} ${stack} ${String(cause)} ${JSON.stringify(cause)}`).not.toContain(secretAccessKey);
    });
  }
});
