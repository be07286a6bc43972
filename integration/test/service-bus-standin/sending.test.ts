import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';

import type { Standin } from '../../src/service-bus-standin/index.ts';
import {
  codeOf,
  connect,
  connectionString,
  newName,
  openStandin,
  receiveBodies,
  receiveOne,
  setUpQueue,
} from './kit.ts';

let standin: Standin;
beforeAll(async () => {
  standin = await openStandin({ maxMessageSize: 65_536 });
});
afterAll(() => standin.close());

test('a message comes as it was sent', async () => {
  const { sender, receiver } = setUpQueue(standin);
  const sent = {
    body: Buffer.from([0, 1, 254, 255]),
    messageId: 'id-1',
    correlationId: 'correlation',
    contentType: 'application/octet-stream',
    subject: 'label',
    to: 'to',
    replyTo: 'reply',
    timeToLive: 3_600_000,
    applicationProperties: { text: 'ä', yes: true, no: false, whole: 7, broken: 1.5, negative: -3 },
  };
  await sender.sendMessages(sent);
  const message = await receiveOne(receiver);
  expect(message).toMatchObject(sent);
  expect(message).toMatchObject({ deliveryCount: 0, state: 'active' });
  expect(Math.abs(Date.now() - (message.enqueuedTimeUtc?.getTime() ?? 0))).toBeLessThan(2000);
});

test('a message without an id gets one', async () => {
  const { sender, receiver } = setUpQueue(standin);
  await sender.sendMessages({ body: 'x' });
  expect((await receiveOne(receiver)).messageId).toMatch(/^[0-9a-f]{32}$/);
});

test('messages come in the order of their numbers, which is that of sending', async () => {
  const { sender, receiver } = setUpQueue(standin);
  for (const body of [1, 2, 3]) {
    await sender.sendMessages({ body });
  }
  const messages = await receiver.receiveMessages(3, { maxWaitTimeInMs: 1000 });
  expect(messages.map(({ body }) => body as unknown)).toEqual([1, 2, 3]);
  expect(messages.map(({ sequenceNumber }) => sequenceNumber?.toNumber())).toEqual([1, 2, 3]);
});

test('a batch is stored as its messages', async () => {
  const { sender, receiver } = setUpQueue(standin);
  const batch = await sender.createMessageBatch();
  for (let index = 0; index < 50; index += 1) {
    expect(batch.tryAddMessage({ body: index, messageId: `m${index}` })).toBe(true);
  }
  await sender.sendMessages(batch);
  expect(await receiveBodies(receiver, 50)).toEqual(Array.from({ length: 50 }, (_, index) => index));
});

test('the link tells how large a batch may be', async () => {
  const { sender } = setUpQueue(standin);
  expect((await sender.createMessageBatch()).maxSizeInBytes).toBe(65_536);
});

test('a message above the limit is refused', async () => {
  const { sender } = setUpQueue(standin);
  expect(await codeOf(sender.sendMessages({ body: Buffer.alloc(70_000) }))).toBe('MessageSizeExceeded');
});

test('sends of the same moment have answers of their own', async () => {
  const { sender } = setUpQueue(standin, { RequiresSession: 'true' });
  await sender.sendMessages({ body: 0, sessionId: 's' });
  const sessions = ['s', undefined, 's', 's', undefined, undefined, 's'];
  const sends = sessions.map((sessionId) => {
    const message = sessionId === undefined ? { body: 1 } : { body: 1, sessionId };
    return sender.sendMessages(message).then(
      () => 's',
      () => undefined,
    );
  });
  expect(await Promise.all(sends)).toEqual(sessions);
});

test('a message of many frames is stored', async () => {
  const large = await openStandin();
  onTestFinished(() => large.close());
  const { sender, receiver } = setUpQueue(large);
  const body = Buffer.alloc(200_000, 'abc');
  await sender.sendMessages({ body });
  expect(body.equals((await receiveOne(receiver)).body as Buffer)).toBe(true);
});

test('a queue that does not exist is told as not found', async () => {
  const sender = connect(connectionString(standin.port)).createSender('nowhere');
  await expect(sender.sendMessages({ body: 1 })).rejects.toMatchObject({
    code: 'MessagingEntityNotFound',
    message: expect.stringMatching(/The messaging entity .* could not be found/) as string,
  });
});

test('a subscription takes no messages', async () => {
  standin.namespace.createTopic('only-topic');
  standin.namespace.createSubscription('only-topic', 'sub');
  const sender = connect(connectionString(standin.port)).createSender('only-topic/Subscriptions/sub');
  expect(await codeOf(sender.sendMessages({ body: 1 }))).not.toBe('resolved');
});

test('a second message with an id is accepted and dropped within the window', async () => {
  const { sender, receiver } = setUpQueue(standin, { RequiresDuplicateDetection: 'true' });
  await sender.sendMessages({ body: 'first', messageId: 'same' });
  await sender.sendMessages([
    { body: 'second', messageId: 'same' },
    { body: 'other', messageId: 'other' },
    { body: 'third', messageId: 'other' },
  ]);
  expect(await receiveBodies(receiver, 3, 400)).toEqual(['first', 'other']);
});

test('an id may come again after the window', async () => {
  const window = { DuplicateDetectionHistoryTimeWindow: 'PT0.2S' };
  const { sender, receiver } = setUpQueue(standin, { RequiresDuplicateDetection: 'true', ...window });
  await sender.sendMessages({ body: 'first', messageId: 'same' });
  await new Promise((resolve) => setTimeout(resolve, 250));
  await sender.sendMessages({ body: 'second', messageId: 'same' });
  expect(await receiveBodies(receiver, 2)).toEqual(['first', 'second']);
});

test('a completed message still counts for duplicates', async () => {
  const { sender, receiver } = setUpQueue(standin, { RequiresDuplicateDetection: 'true' });
  await sender.sendMessages({ body: 1, messageId: 'same' });
  await receiver.completeMessage(await receiveOne(receiver));
  await sender.sendMessages({ body: 2, messageId: 'same' });
  expect(await receiveBodies(receiver, 1, 300)).toEqual([]);
});

test('without duplicate detection both are stored', async () => {
  const { sender, receiver } = setUpQueue(standin);
  await sender.sendMessages([
    { body: 1, messageId: 'same' },
    { body: 2, messageId: 'same' },
  ]);
  expect(await receiveBodies(receiver, 2)).toEqual([1, 2]);
});

test('a message without a session is refused by a queue that requires one, with its whole batch', async () => {
  const { sender, name } = setUpQueue(standin, { RequiresSession: 'true' });
  const both = [{ body: 1, sessionId: 's' }, { body: 2 }];
  expect(await codeOf(sender.sendMessages(both))).not.toBe('resolved');
  expect(standin.namespace.mailbox(name).activeCount).toBe(0);
});

test('a disabled queue takes no messages', async () => {
  const { sender } = setUpQueue(standin, { Status: 'Disabled' });
  expect(await codeOf(sender.sendMessages({ body: 1 }))).toBe('MessagingEntityDisabled');
});

test('a message that outlived its time is gone', async () => {
  const { sender, receiver, deadLetters } = setUpQueue(standin);
  await sender.sendMessages({ body: 1, timeToLive: 100 });
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(await receiveBodies(receiver, 1, 200)).toEqual([]);
  expect(await receiveBodies(deadLetters, 1, 200)).toEqual([]);
});

test('a message that outlived the time of the queue is dead-lettered where the queue says so', async () => {
  const { sender, deadLetters } = setUpQueue(standin, {
    DefaultMessageTimeToLive: 'PT0.1S',
    DeadLetteringOnMessageExpiration: 'true',
  });
  await sender.sendMessages({ body: 1, timeToLive: 60_000 });
  expect(await receiveOne(deadLetters)).toMatchObject({ body: 1, deadLetterReason: 'TTLExpiredException' });
});

test('a locked message does not expire before its lock does', async () => {
  const { sender, receiver } = setUpQueue(standin, { DeadLetteringOnMessageExpiration: 'true' });
  await sender.sendMessages({ body: 1, timeToLive: 1000 });
  const message = await receiveOne(receiver);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await receiver.completeMessage(message);
});

test('thousands of single sends on one link are all answered', async () => {
  const { sender, name } = setUpQueue(standin);
  for (let round = 0; round < 12; round += 1) {
    await Promise.all(Array.from({ length: 200 }, (_, index) => sender.sendMessages({ body: index })));
  }
  expect(standin.namespace.mailbox(name).activeCount).toBe(2400);
});

test('names of entities do not depend on case', async () => {
  const name = newName('Mixed');
  standin.namespace.createQueue(name);
  const client = connect(connectionString(standin.port));
  await client.createSender(name.toUpperCase()).sendMessages({ body: 1 });
  expect(await receiveBodies(client.createReceiver(name.toLowerCase()), 1)).toEqual([1]);
});
