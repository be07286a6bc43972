import type { SqlRuleFilter } from '@azure/service-bus';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { eventually } from '../../src/eventually.ts';
import type { Standin } from '../../src/service-bus-standin/index.ts';
import {
  codeOf,
  connect,
  connectionString,
  newName,
  noRenewal,
  openStandin,
  receiveBodies,
  receiveOne,
} from './kit.ts';

let standin: Standin;
beforeAll(async () => {
  standin = await openStandin();
});
afterAll(() => standin.close());

function setUpTopic(properties: Readonly<Record<string, string>> = {}) {
  const name = newName('topic');
  standin.namespace.createTopic(name, properties);
  const client = connect(connectionString(standin.port));
  return { name, client, sender: client.createSender(name) };
}

const active = (path: string): number => standin.namespace.mailbox(path).activeCount;

test('every subscription gets a copy of its own', async () => {
  const { name, client, sender } = setUpTopic();
  standin.namespace.createSubscription(name, 'a');
  standin.namespace.createSubscription(name, 'b');
  await sender.sendMessages({ body: 1 });
  const receiver = client.createReceiver(name, 'a');
  await receiver.completeMessage(await receiveOne(receiver));
  expect(active(`${name}/Subscriptions/a`)).toBe(0);
  expect(await receiveBodies(client.createReceiver(name, 'b'), 1)).toEqual([1]);
});

test('a message without a subscription is accepted and gone', async () => {
  const { name, sender } = setUpTopic();
  await sender.sendMessages({ body: 1 });
  standin.namespace.createSubscription(name, 'late');
  expect(active(`${name}/Subscriptions/late`)).toBe(0);
});

test('a correlation filter by subject and property lets through what has both', async () => {
  const { name, client, sender } = setUpTopic();
  const filter = { kind: 'correlation', system: { Label: 'x' }, properties: { n: 1 } } as const;
  standin.namespace.createSubscription(name, 'a', {}, { name: 'r', filter });
  await sender.sendMessages([
    { body: 'both', subject: 'x', applicationProperties: { n: 1 } },
    { body: 'subject', subject: 'x', applicationProperties: { n: 2 } },
    { body: 'property', applicationProperties: { n: 1 } },
  ]);
  expect(await receiveBodies(client.createReceiver(name, 'a'), 2, 300)).toEqual(['both']);
});

test('a list of subjects in SQL lets through those', async () => {
  const { name, client, sender } = setUpTopic();
  const filter = { kind: 'sql', expression: "sys.Label IN ('x', 'y')" } as const;
  standin.namespace.createSubscription(name, 'a', {}, { name: 'r', filter });
  await sender.sendMessages(['x', 'z', 'y'].map((subject) => ({ body: subject, subject })));
  expect(await receiveBodies(client.createReceiver(name, 'a'), 3, 300)).toEqual(['x', 'y']);
});

test('a message that matches two rules comes once', async () => {
  const { name, sender } = setUpTopic();
  const { rules } = standin.namespace.createSubscription(name, 'a');
  rules.set('second', { name: 'second', filter: { kind: 'sql', expression: '1=1' } });
  await sender.sendMessages({ body: 1 });
  expect(active(`${name}/Subscriptions/a`)).toBe(1);
});

test('a topic drops duplicates before it copies', async () => {
  const { name, sender } = setUpTopic({ RequiresDuplicateDetection: 'true' });
  standin.namespace.createSubscription(name, 'a');
  await sender.sendMessages({ body: 1, messageId: 'same' });
  await sender.sendMessages({ body: 2, messageId: 'same' });
  expect(active(`${name}/Subscriptions/a`)).toBe(1);
});

test('a scheduled message waits in the topic', async () => {
  const { name, client, sender } = setUpTopic();
  standin.namespace.createSubscription(name, 'a');
  const at = new Date(Date.now() + 1000);
  await sender.sendMessages({ body: 1, scheduledEnqueueTimeUtc: at });
  const [number] = await sender.scheduleMessages([{ body: 2 }], at);
  await sender.cancelScheduledMessages(number as never);
  expect(standin.namespace.schedule(name).scheduledCount).toBe(1);
  expect(await receiveBodies(client.createReceiver(name, 'a'), 2, 1300)).toEqual([1]);
});

test('a disabled topic takes no messages', async () => {
  const { sender } = setUpTopic({ Status: 'Disabled' });
  expect(await codeOf(sender.sendMessages({ body: 1 }))).toBe('MessagingEntityDisabled');
});

test('a subscription forwards to a queue', async () => {
  const { name, client, sender } = setUpTopic();
  const queue = newName('queue');
  standin.namespace.createQueue(queue);
  standin.namespace.createSubscription(name, 'a', { ForwardTo: queue });
  await sender.sendMessages({ body: 1, messageId: 'kept', applicationProperties: { p: 1 } });
  expect(await receiveOne(client.createReceiver(queue))).toMatchObject({
    body: 1,
    messageId: 'kept',
    applicationProperties: { p: 1 },
  });
  expect(active(`${name}/Subscriptions/a`)).toBe(0);
});

test('a subscription forwards to a queue with sessions', async () => {
  const { name, client, sender } = setUpTopic();
  const queue = newName('queue');
  standin.namespace.createQueue(queue, { RequiresSession: 'true' });
  standin.namespace.createSubscription(name, 'a', { ForwardTo: `sb://localhost/${queue}` });
  await sender.sendMessages({ body: 1, sessionId: 's' });
  const session = await client.acceptNextSession(queue, noRenewal);
  expect(session.sessionId).toBe('s');
  expect(await receiveBodies(session, 1)).toEqual([1]);
});

test('what the queue does not take is dead-lettered in the subscription, after the send was accepted', async () => {
  const { name, client, sender } = setUpTopic();
  const queue = newName('queue');
  standin.namespace.createQueue(queue, { RequiresSession: 'true' });
  standin.namespace.createSubscription(name, 'a', { ForwardTo: queue });
  await sender.sendMessages({ body: 1 });
  const letters = client.createReceiver(name, 'a', { subQueueType: 'deadLetter' });
  expect(await receiveOne(letters)).toMatchObject({ body: 1, deadLetterReason: 'Session ID is null.' });
});

test('what has nowhere to be forwarded to goes to the dead letters of the transfer', async () => {
  const { name, client, sender } = setUpTopic();
  standin.namespace.createSubscription(name, 'a', { ForwardTo: 'nowhere' });
  await sender.sendMessages({ body: 1 });
  const letters = client.createReceiver(name, 'a', { subQueueType: 'transferDeadLetter' });
  expect((await receiveOne(letters)).body).toBe(1);
});

test('a message is forwarded four times at most', async () => {
  const names = Array.from({ length: 6 }, () => newName('hop'));
  names.forEach((name, index) => {
    const next = names[index + 1];
    standin.namespace.createQueue(name, next === undefined ? {} : { ForwardTo: next });
  });
  const client = connect(connectionString(standin.port));
  await client.createSender(names[0] ?? '').sendMessages({ body: 1 });
  await eventually(() => active(`${names[4]}/$Transfer/$DeadLetterQueue`) === 1);
  expect(active(names[5] ?? '')).toBe(0);
});

test('dead letters are forwarded where the queue says so, and tell where they come from', async () => {
  const [queue, letters] = [newName('queue'), newName('letters')];
  standin.namespace.createQueue(letters);
  standin.namespace.createQueue(queue, { ForwardDeadLetteredMessagesTo: letters });
  const client = connect(connectionString(standin.port));
  await client.createSender(queue).sendMessages({ body: 1 });
  const receiver = client.createReceiver(queue);
  await receiver.deadLetterMessage(await receiveOne(receiver), {
    deadLetterReason: 'why',
    deadLetterErrorDescription: '',
  });
  expect(await receiveOne(client.createReceiver(letters))).toMatchObject({
    deadLetterReason: 'why',
    deadLetterSource: queue,
  });
});

test('a subscription has dead letters of its own', async () => {
  const { name, client, sender } = setUpTopic();
  standin.namespace.createSubscription(name, 'a', { MaxDeliveryCount: '1' });
  await sender.sendMessages({ body: 1 });
  const receiver = client.createReceiver(name, 'a', noRenewal);
  await receiver.abandonMessage(await receiveOne(receiver));
  const letters = client.createReceiver(name, 'a', { subQueueType: 'deadLetter' });
  expect((await receiveOne(letters)).deadLetterReason).toBe('MaxDeliveryCountExceeded');
});

test('a subscription that does not exist is told as not found', async () => {
  const { name, client } = setUpTopic();
  const receiver = client.createReceiver(name, 'none');
  expect(await codeOf(receiver.receiveMessages(1, { maxWaitTimeInMs: 200 }))).toBe('MessagingEntityNotFound');
});

test('rules are added, listed and removed over AMQP', async () => {
  const { name, client, sender } = setUpTopic();
  standin.namespace.createSubscription(name, 'a');
  const rules = client.createRuleManager(name, 'a');
  await rules.deleteRule('$Default');
  await rules.createRule('sql', { sqlExpression: "kind = 'x'" });
  await rules.createRule('correlation', { subject: 'y', applicationProperties: { n: 1 } });
  const listed = [];
  for await (const rule of rules.listRules()) {
    listed.push(rule);
  }
  expect(listed.map((rule) => rule.name)).toEqual(['sql', 'correlation']);
  expect((listed[0]?.filter as SqlRuleFilter).sqlExpression).toBe("kind = 'x'");
  expect(listed[1]?.filter).toMatchObject({ subject: 'y', applicationProperties: { n: 1 } });
  await sender.sendMessages([
    { body: 'sql', applicationProperties: { kind: 'x' } },
    { body: 'correlation', subject: 'y', applicationProperties: { n: 1 } },
    { body: 'none' },
  ]);
  expect(await receiveBodies(client.createReceiver(name, 'a'), 3, 300)).toEqual(['sql', 'correlation']);
});
