import { afterAll, beforeAll, expect, test } from 'vitest';

import type { Standin } from '../../src/service-bus-standin/index.ts';
import { codeOf, openStandin, type QueueSetup, receiveBodies, receiveOne, setUpQueue } from './kit.ts';

let standin: Standin;
beforeAll(async () => {
  standin = await openStandin();
});
afterAll(() => standin.close());

/** With its links open: opening them takes longer on a busy machine than a test wants to wait. */
async function setUpOpen(properties: Readonly<Record<string, string>> = {}): Promise<QueueSetup> {
  const setup = setUpQueue(standin, properties);
  const { sender, receiver } = setup;
  const [number] = await sender.scheduleMessages([{ body: 0 }], inMs(60_000));
  await sender.cancelScheduledMessages(number as never);
  await sender.sendMessages({ body: 0 });
  await receiver.completeMessage(await receiveOne(receiver));
  return setup;
}

const inMs = (milliseconds: number): Date => new Date(Date.now() + milliseconds);

test('a message sent with a time comes then and not before', async () => {
  const { sender, receiver, name } = await setUpOpen();
  const at = inMs(800);
  await sender.sendMessages({ body: 1, scheduledEnqueueTimeUtc: at });
  const { scheduledCount, activeCount } = standin.namespace.mailbox(name);
  expect([scheduledCount, activeCount]).toEqual([1, 0]);
  const message = await receiveOne(receiver);
  expect(Date.now()).toBeGreaterThanOrEqual(at.getTime());
  expect(Date.now()).toBeLessThan(at.getTime() + 2000);
  expect(message.enqueuedTimeUtc?.getTime()).toBeGreaterThanOrEqual(at.getTime());
});

test('a message scheduled by request comes then, under a new number', async () => {
  const { sender, receiver } = await setUpOpen();
  const [number] = await sender.scheduleMessages([{ body: 1 }], inMs(200));
  const message = await receiveOne(receiver);
  expect(message.body).toBe(1);
  expect(message.sequenceNumber?.greaterThan(number as never)).toBe(true);
  expect(message.enqueuedSequenceNumber).toBe(number?.toNumber());
});

test('scheduled messages come in the order of their times', async () => {
  const { sender, receiver } = await setUpOpen();
  await sender.sendMessages([
    { body: 'later', scheduledEnqueueTimeUtc: inMs(900) },
    { body: 'sooner', scheduledEnqueueTimeUtc: inMs(600) },
    { body: 'now' },
  ]);
  expect(await receiveBodies(receiver, 3)).toEqual(['now', 'sooner', 'later']);
});

test('a cancelled message does not come', async () => {
  const { sender, receiver } = await setUpOpen();
  const [first] = await sender.scheduleMessages([{ body: 1 }, { body: 2 }], inMs(800));
  await sender.cancelScheduledMessages(first as never);
  expect(await receiveBodies(receiver, 2, 1200)).toEqual([2]);
});

test('what is not scheduled cannot be cancelled', async () => {
  const { sender } = await setUpOpen();
  const [number] = await sender.scheduleMessages([{ body: 1 }], inMs(60_000));
  await sender.cancelScheduledMessages(number as never);
  expect(await codeOf(sender.cancelScheduledMessages(number as never))).toBe('MessageNotFound');
});

test('a time in the past is now', async () => {
  const { sender, receiver } = await setUpOpen();
  await sender.sendMessages({ body: 1, scheduledEnqueueTimeUtc: inMs(-1000) });
  expect(await receiveBodies(receiver, 1)).toEqual([1]);
});

test('a duplicate of a scheduled message is dropped', async () => {
  const { sender, receiver } = await setUpOpen({ RequiresDuplicateDetection: 'true' });
  await sender.sendMessages({ body: 1, messageId: 'a', scheduledEnqueueTimeUtc: inMs(100) });
  await sender.sendMessages({ body: 2, messageId: 'a', scheduledEnqueueTimeUtc: inMs(100) });
  await sender.scheduleMessages({ body: 3, messageId: 'a' }, inMs(100));
  expect(await receiveBodies(receiver, 2, 500)).toEqual([1]);
});

test('life begins when the message is enqueued', async () => {
  const { sender, receiver } = await setUpOpen();
  await sender.sendMessages({ body: 1, timeToLive: 1500, scheduledEnqueueTimeUtc: inMs(1600) });
  expect(await receiveBodies(receiver, 1)).toEqual([1]);
});

test('thousands of requests on one link are all answered', async () => {
  const { sender, name } = await setUpOpen();
  for (let round = 0; round < 22; round += 1) {
    await Promise.all(Array.from({ length: 100 }, () => sender.scheduleMessages({ body: 1 }, inMs(60_000))));
  }
  expect(standin.namespace.mailbox(name).scheduledCount).toBe(2200);
});
