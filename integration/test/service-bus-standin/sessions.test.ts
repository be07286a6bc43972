import { setTimeout as sleep } from 'node:timers/promises';

import type { ServiceBusClient, ServiceBusSessionReceiver } from '@azure/service-bus';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { eventually } from '../../src/eventually.ts';
import type { Standin } from '../../src/service-bus-standin/index.ts';
import {
  codeOf,
  connect,
  connectionString,
  noRenewal,
  openStandin,
  type QueueSetup,
  receiveBodies,
  receiveOne,
  setUpQueue,
} from './kit.ts';

let standin: Standin;
beforeAll(async () => {
  standin = await openStandin();
});
afterAll(() => standin.close());

function setUpSessions(properties: Readonly<Record<string, string>> = {}): QueueSetup {
  return setUpQueue(standin, { RequiresSession: 'true', ...properties });
}

function next(client: ServiceBusClient, queue: string): Promise<ServiceBusSessionReceiver> {
  return client.acceptNextSession(queue, noRenewal);
}

test('the next session is the one whose messages wait longest', async () => {
  const { sender, client, name } = setUpSessions();
  await sender.sendMessages({ body: 1, sessionId: 'b' });
  await sender.sendMessages({ body: 2, sessionId: 'a' });
  expect((await next(client, name)).sessionId).toBe('b');
  expect((await next(client, name)).sessionId).toBe('a');
});

test('a session hands out its own messages in order', async () => {
  const { sender, client, name } = setUpSessions();
  await sender.sendMessages([1, 2, 3].map((body) => ({ body, sessionId: 'a' })));
  await sender.sendMessages({ body: 'other', sessionId: 'b' });
  const session = await client.acceptSession(name, 'a', noRenewal);
  expect(await receiveBodies(session, 4, 300)).toEqual([1, 2, 3]);
});

test('a session is locked for as long as the queue tells', async () => {
  const { sender, client, name } = setUpSessions({ LockDuration: 'PT20S' });
  await sender.sendMessages({ body: 1, sessionId: 'a' });
  const left = (await next(client, name)).sessionLockedUntilUtc.getTime() - Date.now();
  expect(left).toBeGreaterThan(18_000);
  expect(left).toBeLessThanOrEqual(20_000);
});

test('a locked session is given to nobody else', async () => {
  const { sender, client, name } = setUpSessions();
  await sender.sendMessages({ body: 1, sessionId: 'a' });
  await next(client, name);
  expect(await codeOf(client.acceptSession(name, 'a'))).toBe('SessionCannotBeLocked');
  const impatient = connect(connectionString(standin.port), { retryOptions: { maxRetries: 0, timeoutInMs: 300 } });
  expect(await codeOf(impatient.acceptNextSession(name))).toBe('ServiceTimeout');
});

test('a session without messages can be accepted by name', async () => {
  const { sender, client, name } = setUpSessions();
  const session = await client.acceptSession(name, 'empty');
  await sender.sendMessages({ body: 1, sessionId: 'empty' });
  expect(await receiveBodies(session, 1)).toEqual([1]);
});

test('waiting for a session ends when one has a message', async () => {
  const { sender, client, name } = setUpSessions();
  const waiting = next(client, name);
  await sleep(150);
  await sender.sendMessages({ body: 1, sessionId: 'late' });
  expect((await waiting).sessionId).toBe('late');
});

test('waiting for a session ends with the client', async () => {
  const { sender, client, name } = setUpSessions();
  const gone = connect(connectionString(standin.port));
  // Nobody tells the caller: the client leaves it pending.
  void gone.acceptNextSession(name).catch(() => undefined);
  await sleep(150);
  await gone.close();
  await sender.sendMessages({ body: 1, sessionId: 'a' });
  expect((await next(client, name)).sessionId).toBe('a');
});

test('a closed session is free at once, and what was locked in it is not counted', async () => {
  const { sender, client, name } = setUpSessions();
  await sender.sendMessages([1, 2].map((body) => ({ body, sessionId: 'a' })));
  const session = await next(client, name);
  await receiveOne(session);
  await session.close();
  expect(await receiveOne(await next(client, name))).toMatchObject({ body: 1, deliveryCount: 0 });
});

test('a session whose connection is gone is free, and nothing is counted', async () => {
  const { sender, name } = setUpSessions();
  await sender.sendMessages({ body: 1, sessionId: 'a' });
  const lost = connect(connectionString(standin.port));
  await receiveOne(await next(lost, name));
  standin.amqp.dropConnections();
  const session = await next(connect(connectionString(standin.port)), name);
  expect(await receiveOne(session)).toMatchObject({ body: 1, deliveryCount: 0 });
});

test('a session whose lock runs out is lost, and what was locked in it is counted', async () => {
  const { sender, client, name } = setUpSessions({ LockDuration: 'PT0.3S' });
  await sender.sendMessages({ body: 1, sessionId: 'a' });
  const session = await next(client, name);
  const message = await receiveOne(session);
  await sleep(400);
  expect(await codeOf(session.completeMessage(message))).toBe('SessionLockLost');
  const again = await next(connect(connectionString(standin.port)), name);
  expect(await receiveOne(again)).toMatchObject({ body: 1, deliveryCount: 1 });
});

test('a renewed session lock holds on', async () => {
  const { sender, client, name } = setUpSessions({ LockDuration: 'PT1.5S' });
  await sender.sendMessages({ body: 1, sessionId: 'a' });
  const session = await next(client, name);
  const message = await receiveOne(session);
  for (let round = 0; round < 3; round += 1) {
    await sleep(700);
    await session.renewSessionLock();
  }
  expect(session.sessionLockedUntilUtc.getTime()).toBeGreaterThan(Date.now());
  await session.completeMessage(message);
});

test('a lost session lock cannot be renewed', async () => {
  const { sender, client, name } = setUpSessions({ LockDuration: 'PT0.2S' });
  await sender.sendMessages({ body: 1, sessionId: 'a' });
  const session = await next(client, name);
  await sleep(300);
  expect(await codeOf(session.renewSessionLock())).not.toBe('resolved');
});

test('a session has a state, which outlives its receivers', async () => {
  const { client, name } = setUpSessions();
  const session = await client.acceptSession(name, 'a');
  expect(await session.getSessionState()).toBeFalsy();
  await session.setSessionState({ step: 3 });
  await session.close();
  const again = await client.acceptSession(name, 'a');
  expect(await again.getSessionState()).toEqual({ step: 3 });
  await again.setSessionState(null);
  expect(await again.getSessionState()).toBeFalsy();
});

test('an abandoned message is the next of its session', async () => {
  const { sender, client, name } = setUpSessions();
  await sender.sendMessages([1, 2].map((body) => ({ body, sessionId: 'a' })));
  const session = await next(client, name);
  await session.abandonMessage(await receiveOne(session));
  const messages = await session.receiveMessages(2, { maxWaitTimeInMs: 1000 });
  expect(messages.map(({ body, deliveryCount }) => [body as unknown, deliveryCount])).toEqual([
    [1, 1],
    [2, 0],
  ]);
});

test('the delivery limit holds within a session, which goes on', async () => {
  const { sender, client, name, deadLetters } = setUpSessions({ MaxDeliveryCount: '1' });
  await sender.sendMessages([1, 2].map((body) => ({ body, sessionId: 'a' })));
  const session = await next(client, name);
  await session.abandonMessage(await receiveOne(session));
  expect(await receiveBodies(session, 1)).toEqual([2]);
  expect(await receiveOne(deadLetters)).toMatchObject({
    body: 1,
    sessionId: 'a',
    deadLetterReason: 'MaxDeliveryCountExceeded',
  });
});

test('a deferred message of a session is received by its number', async () => {
  const { sender, client, name } = setUpSessions();
  await sender.sendMessages({ body: 1, sessionId: 'a' });
  const session = await next(client, name);
  const message = await receiveOne(session);
  await session.deferMessage(message);
  const [deferred] = await session.receiveDeferredMessages(message.sequenceNumber as never);
  expect(deferred?.body).toBe(1);
  await session.completeMessage(deferred as never);
  expect(standin.namespace.mailbox(name).activeCount).toBe(0);
});

test('a peek within a session shows its messages alone', async () => {
  const { sender, client, name } = setUpSessions();
  await sender.sendMessages({ body: 'other', sessionId: 'b' });
  await sender.sendMessages({ body: 1, sessionId: 'a' });
  const session = await client.acceptSession(name, 'a');
  expect((await session.peekMessages(10)).map(({ body }) => body as unknown)).toEqual([1]);
});

test('a scheduled message wakes its session', async () => {
  const { sender, client, name } = setUpSessions();
  await sender.sendMessages({ body: 1, sessionId: 'a', scheduledEnqueueTimeUtc: new Date(Date.now() + 200) });
  const session = await next(client, name);
  expect(await receiveBodies(session, 1)).toEqual([1]);
});

test('many sessions side by side each keep their order', async () => {
  const { sender, client, name } = setUpSessions();
  const ids = ['a', 'b', 'c', 'd'];
  await sender.sendMessages([0, 1, 2, 3, 4].flatMap((body) => ids.map((sessionId) => ({ body, sessionId }))));
  const bodies = await Promise.all(ids.map(async () => await receiveBodies(await next(client, name), 5)));
  expect(bodies).toEqual(ids.map(() => [0, 1, 2, 3, 4]));
});

test('a receiver without a session is refused where the queue requires one', async () => {
  const { receiver } = setUpSessions();
  expect(await codeOf(receiver.receiveMessages(1, { maxWaitTimeInMs: 200 }))).not.toBe('resolved');
});

test('a session is refused where the queue has none', async () => {
  const { client, name } = setUpQueue(standin);
  expect(await codeOf(client.acceptSession(name, 'a'))).not.toBe('resolved');
});

test('a subscriber of a session completes its messages', async () => {
  const { sender, client, name } = setUpSessions();
  await sender.sendMessages([1, 2, 3].map((body) => ({ body, sessionId: 'a' })));
  const session = await next(client, name);
  const bodies: unknown[] = [];
  session.subscribe({ processMessage: async ({ body }) => void bodies.push(body), processError: async () => {} });
  await eventually(() => standin.namespace.mailbox(name).activeCount === 0);
  expect(bodies).toEqual([1, 2, 3]);
});
