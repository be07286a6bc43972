import { spawn } from 'node:child_process';
import { once as emitted } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { ServiceBusClientOptions } from '@azure/service-bus';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';

import { eventually } from '../../src/eventually.ts';
import {
  attachServiceBusStandin,
  type OwnServiceBusStandin,
  type ServiceBusStandinDescriptor,
  startServiceBusStandin,
} from '../../src/index.ts';
import { administer, codeOf, connect, newName, noRenewal, once, receiveBodies, receiveOne } from './kit.ts';

let standin: OwnServiceBusStandin;
beforeAll(async () => {
  standin = await startServiceBusStandin();
});
afterAll(() => standin.stop());

const patient: ServiceBusClientOptions = {
  retryOptions: { maxRetries: 20, retryDelayInMs: 100, timeoutInMs: 2000 },
};

async function setUp(options: ServiceBusClientOptions = once, properties: Readonly<Record<string, string>> = {}) {
  const queue = newName('queue');
  await standin.createQueue(queue, properties);
  const client = connect(standin.connectionString, options);
  const admin = administer(standin.managementPort, standin.connectionString);
  const activeCount = async (): Promise<number> => (await admin.getQueueRuntimeProperties(queue)).activeMessageCount;
  return { queue, client, sender: client.createSender(queue), receiver: client.createReceiver(queue), activeCount };
}

test('a client connects again after its connection was cut', async () => {
  const { sender, receiver } = await setUp(patient);
  await sender.sendMessages({ body: 1 });
  await standin.dropConnections();
  await sender.sendMessages({ body: 2 });
  expect(await receiveBodies(receiver, 2)).toEqual([1, 2]);
});

test('a subscriber goes on after its connection was cut', async () => {
  const { sender, receiver } = await setUp(patient);
  const bodies: unknown[] = [];
  receiver.subscribe({ processMessage: async ({ body }) => void bodies.push(body), processError: async () => {} });
  await sender.sendMessages({ body: 1 });
  await eventually(() => bodies.length === 1);
  await standin.dropConnections();
  await sender.sendMessages({ body: 2 });
  await eventually(() => bodies.includes(2));
});

test('a subscriber goes on after its link was detached', async () => {
  const { queue, sender, receiver } = await setUp(patient);
  const bodies: unknown[] = [];
  receiver.subscribe({ processMessage: async ({ body }) => void bodies.push(body), processError: async () => {} });
  await sender.sendMessages({ body: 1 });
  await eventually(() => bodies.length === 1);
  await standin.detachLinks(queue);
  await sender.sendMessages({ body: 2 });
  await eventually(() => bodies.includes(2));
});

test('a queue refuses sends until it takes them again', async () => {
  const { queue, sender, activeCount } = await setUp();
  await standin.refuseSends(queue, true);
  expect(await codeOf(sender.sendMessages({ body: 1 }))).toBe('QuotaExceeded');
  await standin.refuseSends(queue, true, 'com.microsoft:entity-disabled');
  expect(await codeOf(sender.sendMessages({ body: 1 }))).toBe('MessagingEntityDisabled');
  await standin.refuseSends(queue, false);
  await sender.sendMessages({ body: 1 });
  expect(await activeCount()).toBe(1);
});

test('a throttled queue answers as busy', async () => {
  const { queue, sender } = await setUp();
  await sender.sendMessages({ body: 1 });
  await standin.throttle([queue]);
  expect(await codeOf(sender.sendMessages({ body: 1 }))).toBe('ServiceBusy');
  expect(await codeOf(sender.scheduleMessages({ body: 1 }, new Date(Date.now() + 60_000)))).toBe('ServiceBusy');
  await standin.throttle([]);
  await sender.sendMessages({ body: 1 });
});

test('a send whose answer is lost was stored, and is stored twice when it is tried again', async () => {
  const { queue, sender, activeCount } = await setUp(patient);
  await standin.loseAnswers(queue, 1);
  await sender.sendMessages({ body: 1, messageId: 'same' });
  expect(await activeCount()).toBe(2);
});

test('a send whose answer is lost is stored once where the queue detects duplicates', async () => {
  const { queue, sender, activeCount } = await setUp(patient, { RequiresDuplicateDetection: 'true' });
  await standin.loseAnswers(queue, 1);
  await sender.sendMessages({ body: 1, messageId: 'same' });
  expect(await activeCount()).toBe(1);
});

test('a settlement whose answer is lost was done, of which the client learns nothing', async () => {
  const { queue, sender, receiver, activeCount } = await setUp({ retryOptions: { maxRetries: 0, timeoutInMs: 1000 } });
  await sender.sendMessages({ body: 1 });
  const message = await receiveOne(receiver);
  await standin.loseAnswers(queue, 1, 'settlements');
  expect(await codeOf(receiver.completeMessage(message))).toBe('ServiceTimeout');
  expect(await activeCount()).toBe(0);
});

test('whoever has its descriptor reaches it', async () => {
  const attached = attachServiceBusStandin(
    JSON.parse(JSON.stringify(standin.descriptor)) as ServiceBusStandinDescriptor,
  );
  const [topic, name] = [newName('topic'), 'sub'];
  await attached.createTopic(topic);
  await attached.createSubscription(topic, name, { MaxDeliveryCount: '3' });
  const admin = administer(attached.managementPort, attached.connectionString);
  expect((await admin.getSubscription(topic, name)).maxDeliveryCount).toBe(3);
  await expect(attached.createTopic(topic)).rejects.toThrow('already exists');
});

test('a queue that is deleted tells its senders and its subscribers', async () => {
  const { queue, sender, receiver } = await setUp();
  const errors: unknown[] = [];
  receiver.subscribe({
    processMessage: async () => {},
    processError: async ({ error }) => void errors.push((error as { code?: unknown }).code),
  });
  await sender.sendMessages({ body: 1 });
  await administer(standin.managementPort, standin.connectionString).deleteQueue(queue);
  await eventually(() => errors.includes('MessagingEntityNotFound'));
  expect(await codeOf(sender.sendMessages({ body: 2 }))).toBe('MessagingEntityNotFound');
});

test('connections are counted', async () => {
  const before = await standin.countConnections();
  const { sender } = await setUp();
  await sender.sendMessages({ body: 1 });
  expect(await standin.countConnections()).toBe(before + 1);
});

test('while it is down neither port takes connections, and afterwards messages are there again', async () => {
  const { sender, receiver, activeCount } = await setUp(patient);
  await sender.sendMessages({ body: 1 });
  await standin.goDown();
  onTestFinished(() => standin.comeUp().catch(() => undefined));
  await expect(fetch(standin.managementUrl)).rejects.toThrow('fetch failed');
  await expect(fetch(`http://127.0.0.1:${standin.port}`)).rejects.toThrow('fetch failed');
  await standin.comeUp();
  expect(await activeCount()).toBe(1);
  expect(await receiveBodies(receiver, 1)).toEqual([1]);
});

test('a frozen one answers nothing and goes on where it was', async () => {
  const { sender, activeCount } = await setUp({ retryOptions: { maxRetries: 0, timeoutInMs: 2000 } });
  await sender.sendMessages({ body: 1 });
  standin.pause();
  onTestFinished(() => standin.unpause());
  expect(await codeOf(sender.sendMessages({ body: 2 }))).toBe('ServiceTimeout');
  standin.unpause();
  // What was sent into the freeze is taken afterwards.
  await eventually(async () => (await activeCount()) === 2);
});

test('one that was killed has all it accepted, in order, when it starts again', async () => {
  const { sender, client, queue } = await setUp(patient);
  await sender.sendMessages(Array.from({ length: 20 }, (_, index) => ({ body: index })));
  await standin.kill();
  await standin.start();
  await sender.sendMessages({ body: 20 });
  const receiver = client.createReceiver(queue);
  expect(await receiveBodies(receiver, 21)).toEqual(Array.from({ length: 21 }, (_, index) => index));
});

test('one that is killed in the middle of it loses nothing that it accepted and brings nothing back that was completed', async () => {
  // What was on its way to the receiver comes again after the lock.
  const { receiver, queue } = await setUp(patient, { LockDuration: 'PT2S' });
  // One that tries again would store some twice.
  const sender = connect(standin.connectionString).createSender(queue);
  const [accepted, completed, handled] = [new Set<unknown>(), new Set<unknown>(), new Set<unknown>()];
  let isOver = false;
  const send = async (lane: number): Promise<void> => {
    for (let index = 0; !isOver; index += 1) {
      const body = `${lane}-${index}`;
      await sender.sendMessages({ body }).then(
        () => accepted.add(body),
        () => undefined,
      );
    }
  };
  receiver.subscribe(
    {
      processMessage: async (message) => {
        handled.add(message.body);
        await receiver.completeMessage(message);
        completed.add(message.body);
      },
      processError: async () => {},
    },
    { autoCompleteMessages: false, maxConcurrentCalls: 5 },
  );
  const lanes = [0, 1, 2, 3, 4, 5, 6, 7].map((lane) => send(lane));
  await eventually(() => accepted.size > 500 && completed.size > 100);
  await standin.kill();
  isOver = true;
  const [sure, gone] = [new Set(accepted), new Set(completed)];
  await standin.start();
  await Promise.all(lanes);
  const again = connect(standin.connectionString).createReceiver(queue, { receiveMode: 'receiveAndDelete' });
  const left = new Set([...completed].filter((body) => !gone.has(body)));
  for (let bodies: unknown[] = ['']; bodies.length > 0;) {
    bodies = (await again.receiveMessages(500, { maxWaitTimeInMs: 2500 })).map(({ body }) => body as unknown);
    bodies.forEach((body) => left.add(body));
  }
  expect([...left].filter((body) => gone.has(body))).toEqual([]);
  // Of what was being completed at that moment nobody knows.
  expect([...sure].filter((body) => !handled.has(body) && !left.has(body))).toEqual([]);
});

test('one that was killed knows everything about its messages when it starts again', async () => {
  const { sender, receiver, queue } = await setUp(patient, {
    RequiresDuplicateDetection: 'true',
    LockDuration: 'PT30S',
    MaxDeliveryCount: '2',
  });
  const names = ['completed', 'abandoned', 'dead', 'deferred', 'locked'];
  await sender.sendMessages(names.map((body) => ({ body, messageId: body, applicationProperties: { n: 1 } })));
  const messages = await receiver.receiveMessages(5);
  const [completed, abandoned, dead, deferred] = messages as [never, never, never, never];
  await receiver.completeMessage(completed);
  await receiver.deadLetterMessage(dead, { deadLetterReason: 'why', deadLetterErrorDescription: '' });
  await receiver.deferMessage(deferred);
  await receiver.abandonMessage(abandoned);
  await sender.sendMessages({ body: 'scheduled', scheduledEnqueueTimeUtc: new Date(Date.now() + 60_000) });
  await standin.restart();
  const client = connect(standin.connectionString);
  const again = client.createReceiver(queue);
  const sendAgain = client.createSender(queue);
  await sendAgain.sendMessages({ body: 'duplicate', messageId: 'completed' });
  const peeked = await again.peekMessages(10);
  expect(peeked.map(({ body, state }) => [body as unknown, state])).toEqual([
    ['abandoned', 'active'],
    ['deferred', 'deferred'],
    ['locked', 'active'],
    ['scheduled', 'scheduled'],
  ]);
  const next = await again.receiveMessages(2, { maxWaitTimeInMs: 400 });
  expect(next.map(({ body, deliveryCount }) => [body as unknown, deliveryCount])).toEqual([['abandoned', 1]]);
  expect(next[0]?.applicationProperties).toEqual({ n: 1 });
  await again.completeMessage(messages[4] as never).catch(() => undefined);
  const letters = client.createReceiver(queue, { subQueueType: 'deadLetter' });
  expect((await receiveOne(letters)).deadLetterReason).toBe('why');
});

test('one that was killed has its topics, rules and sessions when it starts again', async () => {
  const [topic, queue] = [newName('topic'), newName('sessions')];
  const admin = administer(standin.managementPort, standin.connectionString);
  await admin.createQueue(queue, { requiresSession: true });
  await admin.createTopic(topic);
  await admin.createSubscription(topic, 'sub', {
    forwardTo: queue,
    defaultRuleOptions: { name: 'mine', filter: { subject: 'x' } },
  });
  const first = await connect(standin.connectionString).acceptSession(queue, 's');
  await first.setSessionState({ step: 1 });
  await standin.restart();
  const client = connect(standin.connectionString);
  await client.createSender(topic).sendMessages([
    { body: 1, subject: 'x', sessionId: 's' },
    { body: 2, subject: 'y', sessionId: 's' },
  ]);
  const session = await client.acceptSession(queue, 's');
  expect(await session.getSessionState()).toEqual({ step: 1 });
  expect(await receiveBodies(session, 2, 400)).toEqual([1]);
});

test('one that is not durable starts empty', async () => {
  const empty = await startServiceBusStandin({ durable: false });
  onTestFinished(() => empty.stop());
  await empty.createQueue('q');
  await empty.restart();
  const admin = administer(empty.managementPort, empty.connectionString);
  expect(await admin.queueExists('q')).toBe(false);
});

test('a lock that was held when it was killed runs out as it would have', async () => {
  const { sender, client, queue } = await setUp(patient, { LockDuration: 'PT1S' });
  await sender.sendMessages({ body: 1 });
  await receiveOne(client.createReceiver(queue, noRenewal));
  await standin.restart();
  await sleep(100);
  const again = connect(standin.connectionString).createReceiver(queue);
  expect(await receiveOne(again)).toMatchObject({ body: 1, deliveryCount: 1 });
});

test('by hand it prints its ports in one line', async () => {
  const child = spawn(process.execPath, [
    fileURLToPath(new URL('../../dist/service-bus-standin/main.js', import.meta.url)),
  ]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = (await emitted(child.stdout, 'data')) as [Buffer];
  const ports = JSON.parse(line.toString()) as { port: number; managementPort: number; controlPort: number };
  expect((await fetch(`http://127.0.0.1:${ports.managementPort}/q`)).status).toBe(401);
});

test('one that was stopped is gone', async () => {
  const other = await startServiceBusStandin();
  expect(other.pid).not.toBe(process.pid);
  await other.stop();
  await expect(fetch(other.managementUrl)).rejects.toThrow('fetch failed');
});
