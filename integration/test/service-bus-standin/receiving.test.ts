import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { eventually } from '../../src/eventually.ts';
import type { Standin } from '../../src/service-bus-standin/index.ts';
import { codeOf, connect, connectionString, openStandin, receiveBodies, receiveOne, setUpQueue } from './kit.ts';

let standin: Standin;
beforeAll(async () => {
  standin = await openStandin();
});
afterAll(() => standin.close());

test('a completed message is gone', async () => {
  const { sender, receiver, name } = setUpQueue(standin);
  await sender.sendMessages({ body: 1 });
  await receiver.completeMessage(await receiveOne(receiver));
  expect(standin.namespace.mailbox(name).activeCount).toBe(0);
});

test('a locked message is not handed out, and its lock is of the length that the queue tells', async () => {
  const { sender, receiver, client, name } = setUpQueue(standin, { LockDuration: 'PT30S' });
  await sender.sendMessages({ body: 1 });
  const message = await receiveOne(receiver);
  const left = (message.lockedUntilUtc?.getTime() ?? 0) - Date.now();
  expect(left).toBeGreaterThan(28_000);
  expect(left).toBeLessThanOrEqual(30_000);
  expect(await receiveBodies(client.createReceiver(name), 1, 200)).toEqual([]);
});

test('an abandoned message comes again at once, in its place, counted and with what was put on it', async () => {
  const { sender, receiver } = setUpQueue(standin);
  await sender.sendMessages([{ body: 1 }, { body: 2 }]);
  const message = await receiveOne(receiver);
  await receiver.abandonMessage(message, { why: 'busy' });
  const again = await receiveOne(receiver);
  expect(again).toMatchObject({ body: 1, deliveryCount: 1, applicationProperties: { why: 'busy' } });
  expect(again.sequenceNumber).toEqual(message.sequenceNumber);
});

test('a message comes again, counted, when its lock runs out', async () => {
  const { sender, receiver } = setUpQueue(standin, { LockDuration: 'PT0.3S' });
  await sender.sendMessages({ body: 1 });
  const { lockToken } = await receiveOne(receiver);
  const again = await receiveOne(receiver);
  expect(again.deliveryCount).toBe(1);
  expect(again.lockToken).not.toBe(lockToken);
});

test('settling after the lock ran out is refused as lost, whatever the outcome', async () => {
  const { sender, receiver, name } = setUpQueue(standin, { LockDuration: 'PT0.2S' });
  await sender.sendMessages([{ body: 1 }, { body: 2 }, { body: 3 }, { body: 4 }]);
  const messages = await receiver.receiveMessages(4, { maxWaitTimeInMs: 1000 });
  await sleep(250);
  const [first, second, third, fourth] = messages as [never, never, never, never];
  expect(await codeOf(receiver.completeMessage(first))).toBe('MessageLockLost');
  expect(await codeOf(receiver.abandonMessage(second))).toBe('MessageLockLost');
  expect(await codeOf(receiver.deadLetterMessage(third))).toBe('MessageLockLost');
  expect(await codeOf(receiver.deferMessage(fourth))).toBe('MessageLockLost');
  expect(standin.namespace.mailbox(name).activeCount).toBe(4);
});

test('outcomes of the same moment are told apart', async () => {
  const { sender, receiver, name } = setUpQueue(standin, { LockDuration: 'PT2S' });
  await sender.sendMessages([1, 2, 3, 4].map((body) => ({ body })));
  const messages = await receiver.receiveMessages(4, { maxWaitTimeInMs: 1000 });
  const [first, second, third, fourth] = messages as [never, never, never, never];
  await sleep(1000);
  await Promise.all([receiver.renewMessageLock(first), receiver.renewMessageLock(third)]);
  await sleep(1200);
  const codes = [first, second, third, fourth].map((message) => codeOf(receiver.completeMessage(message)));
  expect(await Promise.all(codes)).toEqual(['resolved', 'MessageLockLost', 'resolved', 'MessageLockLost']);
  expect(standin.namespace.mailbox(name).activeCount).toBe(2);
});

// Not of the stand-in: whoever settles must know it.
test('the client tells outcomes of two neighbours in one moment as the first of them', async () => {
  const { sender, receiver, name } = setUpQueue(standin);
  await sender.sendMessages([{ body: 1 }, { body: 2 }]);
  const [first, second] = (await receiver.receiveMessages(2, { maxWaitTimeInMs: 1000 })) as [never, never];
  await Promise.all([receiver.completeMessage(first), receiver.abandonMessage(second)]);
  expect(standin.namespace.mailbox(name).activeCount).toBe(0);
});

test('outcomes of two moments are what they are', async () => {
  const { sender, receiver, name } = setUpQueue(standin);
  await sender.sendMessages([{ body: 1 }, { body: 2 }]);
  const [first, second] = (await receiver.receiveMessages(2, { maxWaitTimeInMs: 1000 })) as [never, never];
  const completed = receiver.completeMessage(first);
  await turn();
  await Promise.all([completed, receiver.abandonMessage(second)]);
  expect(standin.namespace.mailbox(name).activeCount).toBe(1);
});

test('a renewed lock holds on', async () => {
  const { sender, receiver } = setUpQueue(standin, { LockDuration: 'PT1.5S' });
  await sender.sendMessages({ body: 1 });
  const message = await receiveOne(receiver);
  const before = message.lockedUntilUtc?.getTime() ?? 0;
  for (let round = 0; round < 3; round += 1) {
    await sleep(700);
    await receiver.renewMessageLock(message);
  }
  expect(message.lockedUntilUtc?.getTime()).toBeGreaterThan(before);
  await receiver.completeMessage(message);
});

test('a lost lock cannot be renewed', async () => {
  const { sender, receiver } = setUpQueue(standin, { LockDuration: 'PT0.2S' });
  await sender.sendMessages({ body: 1 });
  const message = await receiveOne(receiver);
  await sleep(250);
  expect(await codeOf(receiver.renewMessageLock(message))).toBe('MessageLockLost');
});

test('a message is dead-lettered after as many deliveries as the queue allows', async () => {
  const { sender, receiver, deadLetters } = setUpQueue(standin, { MaxDeliveryCount: '2', LockDuration: 'PT1S' });
  await sender.sendMessages({ body: 1, messageId: 'poison' });
  await receiver.abandonMessage(await receiveOne(receiver));
  expect((await receiveOne(receiver)).deliveryCount).toBe(1);
  expect(await receiveOne(deadLetters)).toMatchObject({
    messageId: 'poison',
    deliveryCount: 2,
    deadLetterReason: 'MaxDeliveryCountExceeded',
    deadLetterErrorDescription: 'Message could not be consumed after 2 delivery attempts.',
  });
});

test('a dead letter has its reason, its description and further properties', async () => {
  const { sender, receiver, deadLetters } = setUpQueue(standin);
  await sender.sendMessages({ body: 1, applicationProperties: { own: 1 } });
  const details = { deadLetterReason: 'because', deadLetterErrorDescription: 'it is so', attempts: 4 };
  await receiver.deadLetterMessage(await receiveOne(receiver), details);
  const letter = await receiveOne(deadLetters);
  expect(letter).toMatchObject({ body: 1, deadLetterReason: 'because', deadLetterErrorDescription: 'it is so' });
  expect(letter.applicationProperties).toMatchObject({ own: 1, attempts: 4 });
});

test('a dead letter can be completed and abandoned, however often', async () => {
  const { sender, receiver, deadLetters } = setUpQueue(standin, { MaxDeliveryCount: '1' });
  await sender.sendMessages({ body: 1 });
  await receiver.abandonMessage(await receiveOne(receiver));
  for (let round = 0; round < 3; round += 1) {
    await deadLetters.abandonMessage(await receiveOne(deadLetters));
  }
  await deadLetters.completeMessage(await receiveOne(deadLetters));
  expect(await receiveBodies(deadLetters, 1, 200)).toEqual([]);
});

test('a dead letter cannot be dead-lettered', async () => {
  const { sender, receiver, deadLetters, name } = setUpQueue(standin);
  await sender.sendMessages({ body: 1 });
  await receiver.deadLetterMessage(await receiveOne(receiver));
  expect(await codeOf(deadLetters.deadLetterMessage(await receiveOne(deadLetters)))).not.toBe('resolved');
  expect(standin.namespace.mailbox(`${name}/$DeadLetterQueue`).activeCount).toBe(1);
});

test('a mode that deletes hands each message out once', async () => {
  const { sender, client, name } = setUpQueue(standin);
  await sender.sendMessages([{ body: 1 }, { body: 2 }]);
  const receiver = client.createReceiver(name, { receiveMode: 'receiveAndDelete' });
  expect(await receiveBodies(receiver, 2)).toEqual([1, 2]);
  expect(standin.namespace.mailbox(name).activeCount).toBe(0);
});

test('a mode that deletes goes on after thousands of messages', async () => {
  const { sender, client, name } = setUpQueue(standin);
  await sender.sendMessages(Array.from({ length: 2500 }, (_, index) => ({ body: index })));
  const receiver = client.createReceiver(name, { receiveMode: 'receiveAndDelete' });
  expect(await receiveBodies(receiver, 2500, 25_000)).toHaveLength(2500);
});

test('a subscriber goes on after thousands of messages', async () => {
  const { sender, receiver, name } = setUpQueue(standin);
  await sender.sendMessages(Array.from({ length: 2500 }, (_, index) => ({ body: index })));
  const bodies = new Set<unknown>();
  receiver.subscribe(
    { processMessage: async ({ body }) => void bodies.add(body), processError: async () => {} },
    { maxConcurrentCalls: 50 },
  );
  await eventually(() => bodies.size === 2500, { withinMs: 25_000 });
  await eventually(() => standin.namespace.mailbox(name).activeCount === 0);
});

test('a receiver gets as many as it asked for, and the rest stays for others', async () => {
  const { sender, receiver, client, name } = setUpQueue(standin);
  await sender.sendMessages(Array.from({ length: 10 }, (_, index) => ({ body: index })));
  expect(await receiveBodies(receiver, 4)).toEqual([0, 1, 2, 3]);
  expect(await receiveBodies(client.createReceiver(name), 6)).toEqual([4, 5, 6, 7, 8, 9]);
});

test('credit that was not used is taken back at the end of a call', async () => {
  const { sender, receiver, client, name } = setUpQueue(standin);
  expect(await receiveBodies(receiver, 10, 200)).toEqual([]);
  await sender.sendMessages({ body: 1 });
  expect(await receiveBodies(client.createReceiver(name), 1)).toEqual([1]);
});

test('the same receiver can ask again and again after nothing came', async () => {
  const { sender, receiver } = setUpQueue(standin);
  for (let round = 0; round < 3; round += 1) {
    expect(await receiver.receiveMessages(2, { maxWaitTimeInMs: 50 })).toEqual([]);
  }
  await sender.sendMessages({ body: 1 });
  expect(await receiveBodies(receiver, 1)).toEqual([1]);
});

test('messages are shared out between receivers', async () => {
  const { sender, client, name } = setUpQueue(standin);
  const counts = [0, 0];
  for (const index of [0, 1]) {
    client
      .createReceiver(name)
      .subscribe(
        { processMessage: async () => void (counts[index] = (counts[index] ?? 0) + 1), processError: async () => {} },
        { maxConcurrentCalls: 1 },
      );
  }
  await sender.sendMessages(Array.from({ length: 20 }, (_, index) => ({ body: index })));
  await eventually(() => (counts[0] ?? 0) + (counts[1] ?? 0) === 20);
  expect(Math.min(...counts)).toBeGreaterThan(0);
});

test('a lock outlives the receiver that got it', async () => {
  const { sender, client, name, receiver } = setUpQueue(standin, { LockDuration: 'PT2S' });
  await sender.sendMessages({ body: 1 });
  const other = client.createReceiver(name);
  await receiveOne(other);
  await other.close();
  expect(await receiveBodies(receiver, 1, 200)).toEqual([]);
  expect((await receiveOne(receiver)).deliveryCount).toBe(1);
});

test('after its link is gone a message is settled by a request', async () => {
  const { sender, client, name } = setUpQueue(standin);
  await sender.sendMessages([{ body: 1 }, { body: 2 }, { body: 3 }]);
  const receiver = client.createReceiver(name);
  const [first, second, third] = (await receiver.receiveMessages(3)) as [never, never, never];
  standin.amqp.detachLinks(name);
  await sleep(50);
  await receiver.completeMessage(first);
  await receiver.abandonMessage(second);
  await receiver.deadLetterMessage(third, { deadLetterReason: 'late', deadLetterErrorDescription: '' });
  expect(standin.namespace.mailbox(name).activeCount).toBe(1);
  const letter = await receiveOne(client.createReceiver(name, { subQueueType: 'deadLetter' }));
  expect(letter).toMatchObject({ body: 3, deadLetterReason: 'late' });
});

test('a deferred message is received by its number alone', async () => {
  const { sender, receiver } = setUpQueue(standin);
  await sender.sendMessages({ body: 'later' });
  const message = await receiveOne(receiver);
  await receiver.deferMessage(message, { note: 'x' });
  expect(await receiveBodies(receiver, 1, 200)).toEqual([]);
  const [deferred] = await receiver.receiveDeferredMessages(message.sequenceNumber as never);
  expect(deferred).toMatchObject({ body: 'later', applicationProperties: { note: 'x' } });
  await receiver.completeMessage(deferred as never);
  expect(await codeOf(receiver.receiveDeferredMessages(message.sequenceNumber as never))).toBe('MessageNotFound');
});

test('an abandoned deferred message stays deferred', async () => {
  const { sender, receiver } = setUpQueue(standin);
  await sender.sendMessages({ body: 'later' });
  const message = await receiveOne(receiver);
  await receiver.deferMessage(message);
  const [deferred] = await receiver.receiveDeferredMessages(message.sequenceNumber as never);
  await receiver.abandonMessage(deferred as never);
  expect(await receiveBodies(receiver, 1, 150)).toEqual([]);
  const [again] = await receiver.receiveDeferredMessages(message.sequenceNumber as never);
  expect(again?.deliveryCount).toBe(1);
});

test('a peek shows messages in every state, from a number on', async () => {
  const { sender, receiver } = setUpQueue(standin);
  await sender.sendMessages([{ body: 1 }, { body: 2 }, { body: 3 }]);
  await sender.scheduleMessages({ body: 4 }, new Date(Date.now() + 60_000));
  const [first, second] = await receiver.receiveMessages(2);
  await receiver.deferMessage(second as never);
  const peeked = await receiver.peekMessages(10);
  expect(peeked.map(({ body, state }) => [body as unknown, state])).toEqual([
    [1, 'active'],
    [2, 'deferred'],
    [3, 'active'],
    [4, 'scheduled'],
  ]);
  const from = await receiver.peekMessages(1, {
    fromSequenceNumber: (first?.sequenceNumber as never as { add(n: number): never }).add(1),
  });
  expect(from.map(({ body }) => body as unknown)).toEqual([2]);
  expect(await receiver.peekMessages(10)).toHaveLength(2);
});

test('a peek of an empty queue shows nothing', async () => {
  const { receiver } = setUpQueue(standin);
  expect(await receiver.peekMessages(5)).toEqual([]);
});

test('dead letters can be peeked', async () => {
  const { sender, receiver, deadLetters } = setUpQueue(standin);
  await sender.sendMessages({ body: 1 });
  await receiver.deadLetterMessage(await receiveOne(receiver), {
    deadLetterReason: 'seen',
    deadLetterErrorDescription: '',
  });
  expect((await deadLetters.peekMessages(5)).map(({ deadLetterReason }) => deadLetterReason)).toEqual(['seen']);
});

test('a topic cannot be received from', async () => {
  standin.namespace.createTopic('no-receiver');
  const receiver = connect(connectionString(standin.port)).createReceiver('no-receiver');
  expect(await codeOf(receiver.receiveMessages(1, { maxWaitTimeInMs: 100 }))).not.toBe('resolved');
});

test('a queue that is disabled for receiving takes messages and gives none', async () => {
  const { sender, receiver } = setUpQueue(standin, { Status: 'ReceiveDisabled' });
  await sender.sendMessages({ body: 1 });
  expect(await codeOf(receiver.receiveMessages(1, { maxWaitTimeInMs: 200 }))).toBe('MessagingEntityDisabled');
});
