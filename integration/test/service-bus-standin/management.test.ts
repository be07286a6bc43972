import type { ServiceBusAdministrationClient } from '@azure/service-bus';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { Standin } from '../../src/service-bus-standin/index.ts';
import { administer, codeOf, connectionString, newName, openStandin, receiveOne, setUpQueue } from './kit.ts';

let standin: Standin;
let admin: ServiceBusAdministrationClient;
beforeAll(async () => {
  standin = await openStandin();
  admin = administer(standin.managementPort, connectionString(standin.port));
});
afterAll(() => standin.close());

test('a queue is as it was created', async () => {
  const name = newName('queue');
  const options = {
    lockDuration: 'PT45S',
    maxDeliveryCount: 7,
    requiresSession: true,
    requiresDuplicateDetection: true,
    duplicateDetectionHistoryTimeWindow: 'PT5M',
    deadLetteringOnMessageExpiration: true,
    defaultMessageTimeToLive: 'P1D',
    userMetadata: 'a <note> & more',
  };
  expect(await admin.createQueue(name, options)).toMatchObject({ name, ...options });
  expect(await admin.getQueue(name)).toMatchObject({ name, ...options });
});

test('a queue without options has the defaults of the service', async () => {
  const name = newName('queue');
  await admin.createQueue(name);
  expect(await admin.getQueue(name)).toMatchObject({
    lockDuration: 'PT1M',
    maxDeliveryCount: 10,
    requiresSession: false,
    requiresDuplicateDetection: false,
    status: 'Active',
  });
});

test('an entity that is there cannot be created again', async () => {
  const name = newName('queue');
  await admin.createQueue(name);
  expect(await codeOf(admin.createQueue(name))).toBe('MessageEntityAlreadyExistsError');
  expect(await codeOf(admin.createTopic(name))).toBe('MessageEntityAlreadyExistsError');
});

test('what is not there is told as not found, and does not exist', async () => {
  expect(await codeOf(admin.getQueue('none'))).toBe('MessageEntityNotFoundError');
  expect(await codeOf(admin.getTopic('none'))).toBe('MessageEntityNotFoundError');
  expect(await codeOf(admin.deleteQueue('none'))).toBe('MessageEntityNotFoundError');
  expect(await codeOf(admin.createSubscription('none', 'sub'))).toBe('MessageEntityNotFoundError');
  expect(await admin.queueExists('none')).toBe(false);
  expect(await admin.topicExists('none')).toBe(false);
  expect(await admin.subscriptionExists('none', 'sub')).toBe(false);
});

test('a queue is not taken for a topic, nor a topic for a queue', async () => {
  const [queue, topic] = [newName('queue'), newName('topic')];
  await admin.createQueue(queue);
  await admin.createTopic(topic);
  expect(await admin.queueExists(topic)).toBe(false);
  expect(await admin.topicExists(queue)).toBe(false);
});

test('an updated queue has what was changed and the rest as before', async () => {
  const name = newName('queue');
  await admin.createQueue(name, { lockDuration: 'PT30S' });
  const queue = await admin.getQueue(name);
  await admin.updateQueue({ ...queue, maxDeliveryCount: 3 });
  expect(await admin.getQueue(name)).toMatchObject({ lockDuration: 'PT30S', maxDeliveryCount: 3 });
});

test('a deleted queue is gone', async () => {
  const name = newName('queue');
  await admin.createQueue(name);
  await admin.deleteQueue(name);
  expect(await admin.queueExists(name)).toBe(false);
});

test('values that the service does not take are refused', async () => {
  expect(await codeOf(admin.createQueue(newName('queue'), { lockDuration: 'PT6M' }))).toBe('ServiceError');
  expect(await codeOf(admin.createQueue(newName('queue'), { maxDeliveryCount: 0 }))).toBe('ServiceError');
  expect(await codeOf(admin.createQueue(newName('queue'), { lockDuration: 'a minute' }))).toBe('ServiceError');
});

test('what a queue is created with cannot be changed later where the service does not let it', async () => {
  const name = newName('queue');
  await admin.createQueue(name);
  const queue = await admin.getQueue(name);
  expect(await codeOf(admin.updateQueue({ ...queue, requiresSession: true }))).toBe('ServiceError');
});

test('counts of a queue tell active, scheduled and dead messages', async () => {
  const { name, sender, receiver } = setUpQueue(standin);
  await sender.sendMessages([{ body: 1 }, { body: 2 }, { body: 3 }]);
  await sender.sendMessages({ body: 4, scheduledEnqueueTimeUtc: new Date(Date.now() + 60_000) });
  await receiver.deadLetterMessage(await receiveOne(receiver));
  expect(await admin.getQueueRuntimeProperties(name)).toMatchObject({
    activeMessageCount: 2,
    scheduledMessageCount: 1,
    deadLetterMessageCount: 1,
    transferDeadLetterMessageCount: 0,
    totalMessageCount: 4,
  });
});

test('counts of a subscription are its own', async () => {
  const topic = newName('topic');
  await admin.createTopic(topic);
  await admin.createSubscription(topic, 'a');
  await admin.createSubscription(topic, 'b', {
    defaultRuleOptions: { name: 'none', filter: { sqlExpression: '1=0' } },
  });
  standin.namespace.send(topic, [{}, {}]);
  const counts = async (name: string): Promise<unknown> => await admin.getSubscriptionRuntimeProperties(topic, name);
  expect(await counts('a')).toMatchObject({ activeMessageCount: 2, deadLetterMessageCount: 0, totalMessageCount: 2 });
  expect(await counts('b')).toMatchObject({ activeMessageCount: 0, totalMessageCount: 0 });
});

test('queues and topics are listed', async () => {
  const [queue, topic] = [newName('queue'), newName('topic')];
  await admin.createQueue(queue);
  await admin.createTopic(topic);
  const names: string[] = [];
  for await (const { name } of admin.listQueues()) {
    names.push(name);
  }
  for await (const { name } of admin.listTopics()) {
    names.push(name);
  }
  expect(names).toEqual(expect.arrayContaining([queue, topic]));
});

test('more queues than a page are all listed', async () => {
  for (let index = 0; index < 120; index += 1) {
    standin.namespace.createQueue(newName('page'));
  }
  let count = 0;
  for await (const { name } of admin.listQueues()) {
    count += name.startsWith('page-') ? 1 : 0;
  }
  expect(count).toBe(120);
});

test('a topic and its subscription are as they were created', async () => {
  const name = newName('topic');
  await admin.createTopic(name, { requiresDuplicateDetection: true });
  expect(await admin.getTopic(name)).toMatchObject({ name, requiresDuplicateDetection: true });
  const options = { lockDuration: 'PT20S', maxDeliveryCount: 4, deadLetteringOnMessageExpiration: true };
  await admin.createSubscription(name, 'sub', options);
  expect(await admin.getSubscription(name, 'sub')).toMatchObject({
    topicName: name,
    subscriptionName: 'sub',
    ...options,
  });
  expect(await admin.subscriptionExists(name, 'sub')).toBe(true);
  const listed = [];
  for await (const { subscriptionName } of admin.listSubscriptions(name)) {
    listed.push(subscriptionName);
  }
  expect(listed).toEqual(['sub']);
  expect(await admin.getTopicRuntimeProperties(name)).toMatchObject({ subscriptionCount: 1, scheduledMessageCount: 0 });
  await admin.updateSubscription({ ...(await admin.getSubscription(name, 'sub')), maxDeliveryCount: 9 });
  expect((await admin.getSubscription(name, 'sub')).maxDeliveryCount).toBe(9);
  await admin.deleteSubscription(name, 'sub');
  expect(await admin.subscriptionExists(name, 'sub')).toBe(false);
  await admin.deleteTopic(name);
  expect(await admin.topicExists(name)).toBe(false);
});

test('a subscription that forwards tells where', async () => {
  const [topic, queue] = [newName('topic'), newName('queue')];
  await admin.createQueue(queue);
  await admin.createTopic(topic);
  await admin.createSubscription(topic, 'sub', { forwardTo: queue });
  expect((await admin.getSubscription(topic, 'sub')).forwardTo).toMatch(new RegExp(`/${queue}$`));
});

test('a subscription has the rule that it was created with, and no other', async () => {
  const topic = newName('topic');
  await admin.createTopic(topic);
  const filter = { subject: 'x', applicationProperties: { n: 1, yes: true, text: 't' } };
  await admin.createSubscription(topic, 'sub', { defaultRuleOptions: { name: 'mine', filter } });
  expect(await admin.getRule(topic, 'sub', 'mine')).toMatchObject({ name: 'mine', filter });
  expect(await admin.ruleExists(topic, 'sub', '$Default')).toBe(false);
});

test('a subscription without a rule of its own gets everything', async () => {
  const topic = newName('topic');
  await admin.createTopic(topic);
  await admin.createSubscription(topic, 'sub');
  expect((await admin.getRule(topic, 'sub', '$Default')).filter).toMatchObject({ sqlExpression: '1=1' });
});

test('rules are created, changed, listed and deleted', async () => {
  const topic = newName('topic');
  await admin.createTopic(topic);
  await admin.createSubscription(topic, 'sub');
  await admin.createRule(topic, 'sub', 'r', { sqlExpression: "sys.Label IN ('a', 'b')" });
  expect(await codeOf(admin.createRule(topic, 'sub', 'r', { sqlExpression: '1=0' }))).toBe(
    'MessageEntityAlreadyExistsError',
  );
  const rule = await admin.getRule(topic, 'sub', 'r');
  await admin.updateRule(topic, 'sub', { ...rule, filter: { sqlExpression: "sys.Label = 'c'" } });
  expect((await admin.getRule(topic, 'sub', 'r')).filter).toMatchObject({ sqlExpression: "sys.Label = 'c'" });
  const names = [];
  for await (const { name } of admin.listRules(topic, 'sub')) {
    names.push(name);
  }
  expect(names).toEqual(['$Default', 'r']);
  await admin.deleteRule(topic, 'sub', 'r');
  expect(await admin.ruleExists(topic, 'sub', 'r')).toBe(false);
  expect(await codeOf(admin.createRule(topic, 'sub', 'bad', { sqlExpression: 'sys.Label IN (' }))).toBe('ServiceError');
});

test('dead letters of the transfer are counted apart', async () => {
  const { name, sender } = setUpQueue(standin, { ForwardTo: 'nowhere' });
  await sender.sendMessages({ body: 1 });
  expect(await admin.getQueueRuntimeProperties(name)).toMatchObject({
    activeMessageCount: 0,
    transferDeadLetterMessageCount: 1,
  });
});
