import { CreateTopicCommand } from '@aws-sdk/client-sns';
import { DeleteQueueCommand, type QueueAttributeName, SetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { createBus, defineCommand, defineEvent, defineQueue } from '@waybill/core';
import type { Queue, Topic } from '@waybill/core/driver';
import type { SqsDriver } from '@waybill/sqs';
import { describe, expect, onTestFinished } from 'vitest';
import { z } from 'zod';

import { eventually } from '../../src/index.ts';
import {
  aQueue,
  arnOf,
  aTopic,
  attributesOf,
  createQueue,
  failureOf,
  openDriver,
  elasticmq,
  localemu,
  queuesOf,
  serverTest,
  snsOf,
  soon,
  subscribe,
  subscriptionOf,
  topologyOf,
  uniqueName,
  urlOf,
} from './admin-kit.ts';

function entitiesOf({ name, ordered }: Queue): readonly string[] {
  return ordered ? [`${name}.fifo`, `${name}_dead.fifo`, `${name}_delay`] : [name, `${name}_dead`, `${name}_delay`];
}

function bound(queue: Queue, { name }: Topic, ...types: readonly string[]): Queue {
  return { ...queue, bindings: [{ topic: { name, keyed: queue.ordered }, types }] };
}

describe.each([localemu, elasticmq])('on $name', ({ options, name }) => {
  serverTest('apply says one sentence for each thing it makes, and nothing the second time', async () => {
    const queues = [aQueue(), aQueue(true)];
    const driver = openDriver(options());
    const said = await driver.admin.apply(topologyOf(...queues), soon());
    const wanted = queues.flatMap(entitiesOf).map((entity) => `Created queue "${entity}".`);
    expect(said.toSorted()).toEqual(wanted.toSorted());
    expect(await driver.admin.apply(topologyOf(...queues), soon())).toEqual([]);
    expect(await openDriver(options()).verify(topologyOf(...queues), soon())).toEqual([]);
  });

  serverTest('twenty processes that apply at the same moment all succeed', async () => {
    const queues = [aQueue(), aQueue(true)];
    const drivers = Array.from({ length: 20 }, () => openDriver(options()));
    const said = await Promise.all(drivers.map(({ admin }) => admin.apply(topologyOf(...queues), soon())));
    const wanted = queues.flatMap(entitiesOf).map((entity) => `Created queue "${entity}".`);
    expect([...new Set(said.flat())].toSorted()).toEqual(wanted.toSorted());
    expect(await drivers[0]?.verify(topologyOf(...queues), soon())).toEqual([]);
  });

  serverTest(
    'a queue is kept as long as SQS can, hides nothing by itself and gives up after 100 receives',
    async () => {
      const queue = aQueue(true);
      const { admin, client } = openDriver(options());
      await admin.apply(topologyOf(queue), soon());
      const [work, dead, delay] = await Promise.all(entitiesOf(queue).map((entity) => attributesOf(client, entity)));
      expect(work).toMatchObject({ FifoQueue: 'true', ContentBasedDeduplication: 'false', DelaySeconds: '0' });
      const redrive = JSON.parse(work?.['RedrivePolicy'] ?? '{}') as unknown;
      expect(redrive).toEqual({ deadLetterTargetArn: dead?.['QueueArn'], maxReceiveCount: 100 });
      expect(dead).toMatchObject({ FifoQueue: 'true' });
      expect(delay?.['FifoQueue'] ?? 'false').toBe('false');
      for (const found of [dead, delay]) expect(found).not.toHaveProperty('RedrivePolicy');
      if (name === 'LocalEmu') {
        for (const found of [work, dead, delay]) expect(found).toMatchObject({ MessageRetentionPeriod: '1209600' });
        for (const found of [work, dead]) expect(found).toMatchObject({ FifoThroughputLimit: 'perMessageGroupId' });
      }
    },
  );

  const differing: readonly [QueueAttributeName, string, string][] = [
    ['DelaySeconds', '7', 'has DelaySeconds 7, and must have 0'],
    ['RedrivePolicy', 'other', 'gives up to "OTHER" after 3 receives, and must give up to'],
    ['RedrivePolicy', '', 'has no redrive policy, and must give up to'],
  ];
  const toldByLocalemu: readonly [QueueAttributeName, string, string][] = [
    [
      'MessageRetentionPeriod',
      '345600',
      'has MessageRetentionPeriod 345600, and must have 1209600: it would lose messages.',
    ],
    ['MaximumMessageSize', '65536', 'takes messages of 65536 bytes, and maxMessageBytes is 262144.'],
  ];
  serverTest.each(name === 'LocalEmu' ? [...differing, ...toldByLocalemu] : differing)(
    'a queue whose %s is "%s" is a conflict that names both values, and nothing is made',
    async (attribute, value, sentence) => {
      const queue = aQueue();
      const { admin, client } = openDriver(options());
      const { name: work } = queue;
      const target = await createQueue(client, `${work}_dead`, { MessageRetentionPeriod: '1209600' });
      const other = await createQueue(client, uniqueName('other'));
      const redrive = JSON.stringify({ deadLetterTargetArn: target, maxReceiveCount: 100 });
      const given = value === 'other' ? JSON.stringify({ deadLetterTargetArn: other, maxReceiveCount: 3 }) : value;
      const attributes = { MessageRetentionPeriod: '1209600', RedrivePolicy: redrive, [attribute]: given };
      if (attributes.RedrivePolicy === '') Reflect.deleteProperty(attributes, 'RedrivePolicy');
      await createQueue(client, work, attributes);
      const refused = await failureOf(admin.apply(topologyOf(queue), soon()));
      expect(refused).toMatchObject({ code: 'CONFLICT' });
      const wanted = sentence.replace('OTHER', other.slice(other.lastIndexOf(':') + 1));
      expect((refused as Error).message.startsWith(`Queue "${work}" ${wanted}`)).toBe(true);
      expect(await queuesOf(client, work)).toEqual([work, `${work}_dead`]);
    },
  );

  const fifo: readonly [QueueAttributeName, string, string][] = [
    ['ContentBasedDeduplication', 'true', 'must have false: it would take equal bodies for one message.'],
  ];
  const fifoOfLocalemu: readonly [QueueAttributeName, string, string][] = [
    ['DeduplicationScope', 'queue', 'must have messageGroup: keys would share their throughput.'],
    ['FifoThroughputLimit', 'perQueue', 'must have perMessageGroupId: keys would share their throughput.'],
  ];
  serverTest.each(name === 'LocalEmu' ? [...fifo, ...fifoOfLocalemu] : fifo)(
    'a FIFO queue whose %s is %s is a conflict',
    async (attribute, value, sentence) => {
      const queue = aQueue(true);
      const { admin, client } = openDriver(options());
      const entity = `${queue.name}_dead.fifo`;
      const wanted = {
        MessageRetentionPeriod: '1209600',
        DeduplicationScope: 'messageGroup',
        FifoThroughputLimit: 'perMessageGroupId',
      };
      const reset = attribute === 'DeduplicationScope' ? { FifoThroughputLimit: 'perQueue' } : {};
      await createQueue(client, entity, { ...wanted, ...reset, [attribute]: value });
      const refused = await failureOf(admin.apply(topologyOf(queue), soon()));
      expect(refused).toMatchObject({ code: 'CONFLICT' });
      expect(String(refused)).toContain(`Queue "${entity}" has ${attribute} ${value}, and ${sentence}`);
    },
  );

  serverTest('a queue of the other kind is a conflict', async () => {
    const { admin, client } = openDriver(options());
    for (const ordered of [true, false]) {
      const queue = aQueue(ordered);
      await admin.apply(topologyOf(queue), soon());
      const turned = { ...queue, ordered: !ordered };
      const [there, wanted] = [entitiesOf(queue)[0], entitiesOf(turned)[0]];
      const refused = await failureOf(admin.apply(topologyOf(turned), soon()));
      expect(refused).toMatchObject({ code: 'CONFLICT' });
      expect(String(refused)).toContain(`Queue "${there}" exists, and the contracts need "${wanted}"`);
      expect(await queuesOf(client, queue.name)).toEqual(entitiesOf(queue).toSorted());
    }
  });

  serverTest('large messages, where there are no topics, are for queues made for them', async () => {
    const queue = aQueue();
    const small = openDriver({ ...options(), topics: false });
    const large = openDriver({ ...options(), topics: false, maxMessageBytes: 1_048_576 });
    await large.admin.apply(topologyOf(queue), soon());
    expect(await small.admin.apply(topologyOf(queue), soon())).toEqual([]);
  });

  serverTest('the prefix and dots become what SQS takes', async () => {
    const driver = openDriver(options());
    const prefix = uniqueName('p');
    const Bill = defineCommand('bill.send', z.object({}));
    const queue = defineQueue('shop.billing', { handles: [Bill] });
    const bus = createBus({ driver, prefix, source: '/integration', uses: [queue] });
    onTestFinished(() => bus.close({ deadlineMs: 2_000 }));
    await bus.provision('create');
    const start = `${prefix}_shop_billing`;
    expect(await queuesOf(driver.client, prefix)).toEqual([start, `${start}_dead`, `${start}_delay`]);
  });
});

function withTopic(ordered = false, ...types: readonly string[]): { readonly topic: Topic; readonly queue: Queue } {
  const topic = aTopic(ordered);
  return { topic, queue: bound(aQueue(ordered), topic, ...types) };
}

function typesOf(subscription: Record<string, string>): readonly string[] {
  return (JSON.parse(subscription['FilterPolicy'] ?? '{}') as { type?: string[] }).type ?? [];
}

async function bindingOf(driver: SqsDriver, topic: string, queue: string): Promise<Record<string, string>> {
  return await subscriptionOf(snsOf(driver), arnOf('sns', topic), arnOf('sqs', queue));
}

describe('on LocalEmu, with topics', () => {
  serverTest('apply subscribes queues raw, with their types and a queue for what cannot be delivered', async () => {
    const driver = openDriver(localemu.options());
    for (const ordered of [false, true]) {
      const { topic, queue } = withTopic(ordered, 'b', 'a');
      const end = ordered ? '.fifo' : '';
      const [topicEntity, work, dead] = [`${topic.name}${end}`, `${queue.name}${end}`, `${queue.name}_dead${end}`];
      const said = await driver.admin.apply(topologyOf(queue), soon());
      expect(said).toEqual(
        expect.arrayContaining([
          `Created topic "${topicEntity}".`,
          `Subscribed queue "${work}" to topic "${topicEntity}".`,
          `Bound queue "${work}" to "a" of topic "${topicEntity}".`,
          `Bound queue "${work}" to "b" of topic "${topicEntity}".`,
        ]),
      );
      expect(said).toHaveLength(7);
      const subscription = await bindingOf(driver, topicEntity, work);
      expect(subscription).toMatchObject({ RawMessageDelivery: 'true', FilterPolicy: '{"type":["a","b"]}' });
      expect(subscription['RedrivePolicy']).toContain(arnOf('sqs', dead));
      for (const entity of [work, dead]) {
        expect((await attributesOf(driver.client, entity))['Policy']).toContain(arnOf('sns', topicEntity));
      }
      expect(await driver.admin.apply(topologyOf(queue), soon())).toEqual([]);
      expect(await openDriver(localemu.options()).verify(topologyOf(queue), soon())).toEqual([]);
    }
  });

  serverTest(
    'an unordered queue takes part in a topic with keys, without a queue for what cannot be delivered',
    async () => {
      const driver = openDriver(localemu.options());
      const topic = aTopic(true);
      const queue = { ...aQueue(), bindings: [{ topic, types: ['a'] }] };
      await driver.admin.apply(topologyOf(queue), soon());
      const subscription = await bindingOf(driver, `${topic.name}.fifo`, queue.name);
      expect(subscription).not.toHaveProperty('RedrivePolicy');
      expect(await driver.verify(topologyOf(queue), soon())).toEqual([]);
    },
  );

  serverTest('ten processes that apply at the same moment make one subscription', async () => {
    const { topic, queue } = withTopic(false, 'a');
    const drivers = Array.from({ length: 10 }, () => openDriver(localemu.options()));
    await Promise.all(drivers.map(({ admin }) => admin.apply(topologyOf(queue), soon())));
    const driver = openDriver(localemu.options());
    expect(typesOf(await bindingOf(driver, topic.name, queue.name))).toEqual(['a']);
    expect(await driver.admin.apply(topologyOf(queue), soon())).toEqual([]);
  });

  serverTest('a subscription is found behind more than a page of others', async () => {
    const { topic, queue } = withTopic(false, 'a');
    const driver = openDriver(localemu.options());
    await driver.admin.apply({ topics: [topic], queues: [{ ...queue, bindings: [] }] }, soon());
    const others = Array.from({ length: 105 }, (_, n) => arnOf('sqs', `${queue.name}-other-${n}`));
    for (const other of others) await subscribe(snsOf(driver), arnOf('sns', topic.name), other, {});
    await driver.admin.apply(topologyOf(queue), soon());
    expect(await driver.verify(topologyOf(queue), soon())).toEqual([]);
    expect(await driver.admin.apply(topologyOf(queue), soon())).toEqual([]);
  });

  serverTest('an older process takes away no type that a newer one bound', async () => {
    const { topic, queue } = withTopic(false, 'a');
    const driver = openDriver(localemu.options());
    const newer = bound(queue, topic, 'a', 'b');
    await driver.admin.apply(topologyOf(queue), soon());
    expect(await driver.verify(topologyOf(newer), soon())).toEqual([
      `Queue "${queue.name}" is not bound to "b" of topic "${topic.name}".`,
    ]);
    expect(await driver.admin.apply(topologyOf(newer), soon())).toEqual([
      `Bound queue "${queue.name}" to "b" of topic "${topic.name}".`,
    ]);
    expect(await driver.admin.apply(topologyOf(queue), soon())).toEqual([]);
    expect(typesOf(await bindingOf(driver, topic.name, queue.name))).toEqual(['a', 'b']);
  });

  serverTest('ten processes that each bind another type at the same moment lose none', async () => {
    const { topic, queue } = withTopic(false, 'first');
    const types = Array.from({ length: 10 }, (_, n) => `type.${n}`);
    const driver = openDriver(localemu.options());
    await driver.admin.apply(topologyOf(queue), soon());
    await Promise.all(
      types.map((type) => openDriver(localemu.options()).admin.apply(topologyOf(bound(queue, topic, type)), soon())),
    );
    expect(typesOf(await bindingOf(driver, topic.name, queue.name))).toEqual(['first', ...types]);
  });

  serverTest(
    'ten processes that each bind another topic at the same moment lose none, nor what others allowed',
    async () => {
      const queue = aQueue();
      const topics = Array.from({ length: 10 }, () => aTopic());
      const driver = openDriver(localemu.options());
      await driver.admin.apply(topologyOf(queue), soon());
      const theirs = { Sid: 'theirs', Effect: 'Allow', Principal: '*', Action: 'sqs:ReceiveMessage', Resource: '*' };
      const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [theirs] });
      const QueueUrl = await urlOf(driver.client, queue.name);
      await driver.client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { Policy } }));
      await Promise.all(
        topics.map((topic) => openDriver(localemu.options()).admin.apply(topologyOf(bound(queue, topic, 'a')), soon())),
      );
      const policy = (await attributesOf(driver.client, queue.name))['Policy'];
      for (const { name } of topics) expect(policy).toContain(`"${arnOf('sns', name)}"`);
      expect((JSON.parse(policy ?? '') as { Statement: unknown[] }).Statement[0]).toEqual(theirs);
      const all = { ...queue, bindings: topics.map((topic) => ({ topic, types: ['a'] })) };
      expect(await driver.verify(topologyOf(all), soon())).toEqual([]);
    },
  );

  serverTest('a queue that may be sent to by its topic through a policy of others is left as it is', async () => {
    const { topic, queue } = withTopic(false, 'a');
    const driver = openDriver(localemu.options());
    await driver.admin.apply(topologyOf({ ...queue, bindings: [] }), soon());
    const theirs = {
      Effect: 'Allow',
      Principal: { Service: 'sns.amazonaws.com' },
      Action: 'sqs:SendMessage',
      Resource: '*',
    };
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [theirs] });
    const QueueUrl = await urlOf(driver.client, queue.name);
    await driver.client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { Policy } }));
    const said = await driver.admin.apply(topologyOf(queue), soon());
    const allowed = said.filter((line) => line.startsWith('Allowed'));
    expect(allowed).toEqual([`Allowed ${arnOf('sns', topic.name)} to send to queue "${queue.name}_dead".`]);
    expect((await attributesOf(driver.client, queue.name))['Policy']).toBe(Policy);
  });

  const raw = { RawMessageDelivery: 'true', FilterPolicy: '{"type":["a"]}' };
  serverTest.each([
    ['is not raw', { FilterPolicy: '{"type":["a"]}' }, 'has RawMessageDelivery false, and must have true.'],
    ['lets in every type', { RawMessageDelivery: 'true' }, 'has the filter none, and must list types as'],
    ['filters by something else', { ...raw, FilterPolicy: '{"store":["a"]}' }, 'has the filter {"store":["a"]}'],
    ['filters by the body', { ...raw, FilterPolicyScope: 'MessageBody' }, 'has the filter of bodies {"type":["a"]}'],
    ['loses what cannot be delivered', raw, 'has no queue for what SNS cannot deliver, and must give up to'],
  ])('a subscription that %s is a conflict', async (_, attributes, sentence) => {
    const { topic, queue } = withTopic(false, 'a');
    const driver = openDriver(localemu.options());
    await driver.admin.apply({ topics: [topic], queues: [{ ...queue, bindings: [] }] }, soon());
    await subscribe(snsOf(driver), arnOf('sns', topic.name), arnOf('sqs', queue.name), attributes);
    const refused = await failureOf(driver.admin.apply(topologyOf(queue), soon()));
    expect(refused).toMatchObject({ code: 'CONFLICT' });
    const what = `The subscription of queue "${queue.name}" to topic "${topic.name}" ${sentence}`;
    expect(String(refused)).toContain(what);
    expect(String(await driver.verify(topologyOf(queue), soon()))).toContain(what);
  });

  serverTest('a topic of the other kind is a conflict', async () => {
    const driver = openDriver(localemu.options());
    const there = aTopic();
    await snsOf(driver).send(new CreateTopicCommand({ Name: there.name }));
    const refused = await failureOf(driver.admin.apply({ topics: [{ ...there, keyed: true }], queues: [] }, soon()));
    expect(refused).toMatchObject({ code: 'CONFLICT' });
    expect(String(refused)).toContain(`Topic "${there.name}" exists, and the contracts need "${there.name}.fifo"`);
  });

  serverTest('a process with topics only finds them and makes them', async () => {
    const topics = [aTopic(), aTopic(true)];
    const driver = openDriver(localemu.options());
    const entities = [`${topics[0]?.name}`, `${topics[1]?.name}.fifo`];
    const missing = entities.map((entity) => `Topic "${entity}" does not exist.`);
    expect(await driver.verify({ topics, queues: [] }, soon())).toEqual(missing);
    const said = await driver.admin.apply({ topics, queues: [] }, soon());
    expect(said.toSorted()).toEqual(entities.map((entity) => `Created topic "${entity}".`).toSorted());
    expect(await openDriver(localemu.options()).admin.apply({ topics, queues: [] }, soon())).toEqual([]);
    const known = openDriver({ ...localemu.options(), accountId: '000000000000' });
    expect(await known.verify({ topics: [...topics, { name: 'nowhere', keyed: false }], queues: [] }, soon())).toEqual([
      'Topic "nowhere" does not exist.',
    ]);
  });

  serverTest('only bound types arrive, and what SNS cannot deliver becomes a dead letter', async () => {
    const topic = uniqueName('facts');
    const Kept = defineEvent('fact.kept', z.object({ n: z.number() }), { topic });
    const Other = defineEvent('fact.other', z.object({ n: z.number() }), { topic });
    const facts = defineQueue(uniqueName('facts'), { handles: [Kept] });
    const others = defineQueue(uniqueName('others'), { handles: [Other] });
    const driver = openDriver(localemu.options());
    const bus = createBus({ driver, source: '/integration', uses: [facts, others] });
    onTestFinished(() => bus.close({ deadlineMs: 2_000 }));
    await bus.provision('create');
    await Promise.all([bus.publish(Kept, { n: 1 }), bus.publish(Other, { n: 2 }), bus.publish(Other, { n: 3 })]);
    await eventually(async () => {
      expect(await bus.depth(facts)).toMatchObject({ ready: 1 });
      expect(await bus.depth(others)).toMatchObject({ ready: 2 });
    });
    await driver.client.send(new DeleteQueueCommand({ QueueUrl: await urlOf(driver.client, facts.name) }));
    await bus.publish(Kept, { n: 4 });
    const dead = async (): Promise<string | undefined> =>
      (await attributesOf(driver.client, `${facts.name}_dead`))['ApproximateNumberOfMessages'];
    await eventually(async () => expect(await dead()).toBe('1'), { withinMs: 25_000 });
  });
});
