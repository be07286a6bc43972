import { defineCommand, defineEvent, defineQueue, Reject } from '@waybill/core';
import { type Admin, ConfigResourceTypes } from 'kafkajs';
import { expect } from 'vitest';
import { z } from 'zod';

import { eventually } from '../../src/index.ts';
import { archive, failureOf, kafkaTest, Noted, notes, openAdmin, openBus, orders, Placed, ownKafka } from './kit.ts';

const brokers = ownKafka();

const Lost = defineEvent('note.lost', z.object({ n: z.number() }), { topic: 'note-events' });
const Work = defineCommand('work.do', z.object({ n: z.number() }));
const work = defineQueue('work', { handles: [Work] });

const OWN = ['.delay.0s', '.delay.1h', '.delay.5m', '.delay.30s', '.delay.5s', '.delay.1s'];

function ownTopics(queue: string): readonly string[] {
  return OWN.map((end) => `${queue}${end}`);
}

async function setConfig(admin: Admin, topic: string, name: string, value: string): Promise<void> {
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name, value }] };
  await admin.alterConfigs({ validateOnly: false, resources: [resource] });
}

/** How many records of a topic were deleted. */
async function deletedOf(admin: Admin, topic: string): Promise<number> {
  const offsets = await admin.fetchTopicOffsets(topic);
  return offsets.reduce((sum, { low }) => sum + Number(low), 0);
}

kafkaTest('apply says one sentence for each thing it makes, and nothing the second time', async () => {
  const bus = openBus(brokers, { uses: [notes] });
  const { prefix } = bus;
  // Of all queues of the cluster: made by whoever comes first.
  const said = (await bus.provision('create')).filter((line) => !line.includes('waybill.bindings"'));
  const own = ownTopics(`${prefix}.notes`).map((topic) => `Created topic "${topic}" with 3 partitions.`);
  const dead = `Created topic "${prefix}.notes.dead" with 1 partitions.`;
  const topic = `Created topic "${prefix}.note-events" with 3 partitions.`;
  const bound = `Bound queue "${prefix}.notes" to "note.taken" of topic "${prefix}.note-events".`;
  expect(said.toSorted()).toEqual([...own, dead, topic, bound].toSorted());
  expect(await openBus(brokers, { uses: [notes], prefix }).provision('create')).toEqual([]);
  expect(await openBus(brokers, { uses: [notes], prefix }).provision('verify')).toEqual([]);
});

kafkaTest('topics are made though one that the same driver made was deleted', async () => {
  const { driver, prefix } = openBus(brokers, { uses: [notes] });
  const admin = await openAdmin(brokers);
  const make = (name: string): Promise<readonly string[]> =>
    driver.admin.apply({ topics: [{ name, keyed: false }], queues: [] }, AbortSignal.timeout(20_000));
  await make(`${prefix}.deleted`);
  await admin.deleteTopics({ topics: [`${prefix}.deleted`] });
  expect(await make(`${prefix}.made`)).toEqual([`Created topic "${prefix}.made" with 3 partitions.`]);
});

kafkaTest('verify names every topic that is missing and every type that is not bound', async () => {
  const bus = openBus(brokers, { uses: [notes] });
  const { prefix } = bus;
  const missing = await failureOf(bus.provision('verify'));
  expect(missing).toMatchObject({ code: 'NOT_FOUND' });
  const topics = [`${prefix}.note-events`, `${prefix}.notes.dead`, ...ownTopics(`${prefix}.notes`)];
  for (const topic of topics) expect(String(missing)).toContain(`Topic "${topic}" does not exist.`);
  expect(String(missing)).toContain(`Queue "${prefix}.notes" is not bound to "note.taken" of topic`);
  await bus.provision('create');
  const more = openBus(brokers, { uses: [defineQueue('notes', { handles: [Noted, Lost] })], prefix });
  const unbound = await failureOf(more.provision('verify'));
  expect(unbound).toMatchObject({ code: 'NOT_FOUND' });
  expect(String(unbound)).toContain(
    `Queue "${prefix}.notes" is not bound to "note.lost" of topic "${prefix}.note-events".`,
  );
  expect(String(unbound)).not.toContain('note.taken');
  expect(String(unbound)).not.toContain('does not exist');
});

kafkaTest('topics of an ordered queue get the partitions of one that is there', async () => {
  const bus = openBus(brokers, { uses: [orders] });
  const admin = await openAdmin(brokers);
  await admin.createTopics({ topics: [{ topic: `${bus.prefix}.order-events`, numPartitions: 5 }] });
  const said = await bus.provision('create');
  for (const topic of ownTopics(`${bus.prefix}.orders`)) {
    expect(said).toContain(`Created topic "${topic}" with 5 partitions.`);
  }
});

kafkaTest('an ordered queue over topics of unequal partition counts is refused, naming both counts', async () => {
  const admin = await openAdmin(brokers);
  const bus = openBus(brokers, { uses: [orders] });
  const queue = `${bus.prefix}.orders`;
  const [topic, own] = [`${bus.prefix}.order-events`, `${queue}.delay.0s`];
  const kept = [{ name: 'retention.ms', value: '-1' }];
  const topics = [
    { topic, numPartitions: 2 },
    { topic: own, numPartitions: 4, configEntries: kept },
  ];
  await admin.createTopics({ topics });
  const refused = await failureOf(bus.provision('create'));
  expect(refused).toMatchObject({ code: 'CONFLICT' });
  expect(String(refused)).toContain(`Ordered queue "${queue}" needs topics with equal numbers of partitions`);
  expect(String(refused)).toContain(`"${topic}" has 2`);
  expect(String(refused)).toContain(`"${own}" has 4`);
  const made = (await admin.listTopics()).filter((name) => name.startsWith(bus.prefix));
  expect(made.toSorted()).toEqual([topic, own].toSorted());
  const unordered = openBus(brokers, { uses: [defineQueue('orders', { handles: [Placed] })], prefix: bus.prefix });
  expect(await unordered.provision('create')).toContain(`Created topic "${queue}.dead" with 1 partitions.`);
});

kafkaTest('settings that would delete what nobody has handled are refused', async () => {
  const admin = await openAdmin(brokers);
  for (const [name, value] of [
    ['retention.ms', '60000'],
    ['cleanup.policy', 'compact'],
  ] as const) {
    const bus = openBus(brokers, { uses: [notes] });
    await bus.provision('create');
    for (const topic of [`${bus.prefix}.notes.delay.0s`, `${bus.prefix}.notes.dead`, `${bus.prefix}.notes.delay.5s`]) {
      await setConfig(admin, topic, name, value);
    }
    const refused = await failureOf(openBus(brokers, { uses: [notes], prefix: bus.prefix }).provision('create'));
    expect(refused).toMatchObject({ code: 'CONFLICT' });
    for (const end of ['.delay.0s', '.dead', '.delay.5s']) {
      expect(String(refused)).toContain(`Topic "${bus.prefix}.notes${end}" has ${name} ${value}, and must have`);
    }
  }
});

kafkaTest('apply reports a topic that was given more partitions after the queue was bound to it', async () => {
  const admin = await openAdmin(brokers);
  const bus = openBus(brokers, { uses: [orders] });
  await bus.provision('create');
  const [topic, own] = [`${bus.prefix}.order-events`, `${bus.prefix}.orders`];
  const grow = [topic, ...ownTopics(own)].map((name) => ({ topic: name, count: 4 }));
  await admin.createPartitions({ topicPartitions: grow });
  const change = `has 4 partitions, and had 3 when queue "${own}" was bound to it`;
  await eventually(async () => {
    const said = await openBus(brokers, { uses: [orders], prefix: bus.prefix }).provision('create');
    expect(said).toContain(
      `Topic "${topic}" ${change}: keys moved to others, and the order of what was on its way is lost.`,
    );
  });
  const again = openBus(brokers, { uses: [orders], prefix: bus.prefix });
  expect(await again.provision('create')).toEqual([]);
});

kafkaTest('partitions that a topic was given later are consumed from their beginning', async () => {
  const admin = await openAdmin(brokers);
  const first = openBus(brokers, { uses: [notes] });
  await first.provision('create');
  await first.publish(Noted, { n: -1 });
  await admin.createPartitions({ topicPartitions: [{ topic: `${first.prefix}.note-events`, count: 12 }] });
  const bus = openBus(brokers, { uses: [notes], prefix: first.prefix });
  await eventually(async () => {
    const [metadata] = (await admin.fetchTopicMetadata({ topics: [`${first.prefix}.note-events`] })).topics;
    expect(metadata?.partitions).toHaveLength(12);
  });
  const wanted = Array.from({ length: 200 }, (_, n) => n);
  await Promise.all(wanted.map((n) => bus.publish(Noted, { n })));
  const offsets = await admin.fetchTopicOffsets(`${first.prefix}.note-events`);
  expect(offsets.filter(({ partition, high }) => partition >= 3 && Number(high) > 0).length).toBeGreaterThan(3);
  const seen: number[] = [];
  await bus.consume(notes, { 'note.taken': ({ n }) => void seen.push(n) });
  await eventually(() => expect(seen.toSorted((a, b) => a - b)).toEqual([-1, ...wanted]));
});

kafkaTest('a queue receives what was published after it was made, whenever it is consumed', async () => {
  const bus = openBus(brokers, { uses: [notes] });
  await bus.provision('create');
  await Promise.all([0, 1, 2, 3, 4, 5].map((n) => bus.publish(Noted, { n })));
  const later = openBus(brokers, { uses: [archive, notes], prefix: bus.prefix });
  await later.provision('create');
  await Promise.all([6, 7, 8].map((n) => later.publish(Noted, { n })));
  expect(await later.depth(archive)).toMatchObject({ ready: 3 });
  const seen: number[] = [];
  await later.consume(archive, { 'note.taken': ({ n }) => void seen.push(n) });
  await eventually(() => expect(seen.toSorted()).toEqual([6, 7, 8]));
  const all: number[] = [];
  await later.consume(notes, { 'note.taken': ({ n }) => void all.push(n) });
  await eventually(() => expect(all.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]));
  await eventually(async () => expect(await later.depth(archive)).toMatchObject({ ready: 0 }));
  expect(seen).toHaveLength(3);
});

kafkaTest('own, delay and dead topics give back what is finished', { timeout: 60_000 }, async () => {
  const admin = await openAdmin(brokers);
  const bus = openBus(brokers, { uses: [work] });
  const queue = `${bus.prefix}.work`;
  let mustDie = true;
  const handler = ({ n }: { readonly n: number }, { attempt }: { readonly attempt: number }): void => {
    if (n < 10 && mustDie) throw new Reject('dead');
    if (n < 20 && attempt === 1) throw new Error('once');
  };
  await bus.consume(work, { 'work.do': handler }, { retry: { delaysMs: [200], jitter: 0 } });
  await Promise.all(Array.from({ length: 40 }, (_, n) => bus.send(work, Work, { n })));
  await eventually(async () => expect(await bus.depth(work)).toMatchObject({ ready: 0, delayed: 0, deadLettered: 10 }));
  mustDie = false;
  expect(await deletedOf(admin, `${queue}.dead`)).toBe(0);
  // It deletes every ten seconds, with what is finished then.
  await eventually(
    async () => {
      await bus.send(work, Work, { n: 100 });
      await bus.send(work, Work, { n: 15 });
      expect(await deletedOf(admin, `${queue}.delay.0s`)).toBeGreaterThanOrEqual(40);
      expect(await deletedOf(admin, `${queue}.delay.1s`)).toBeGreaterThanOrEqual(10);
    },
    { withinMs: 30_000, everyMs: 500 },
  );
  expect((await bus.redrive(work)).redriven).toBe(10);
  await eventually(async () => expect(await bus.depth(work)).toMatchObject({ deadLettered: 0 }));
  mustDie = true;
  await bus.send(work, Work, { n: 1 });
  await eventually(async () => expect(await bus.depth(work)).toMatchObject({ deadLettered: 1 }));
  mustDie = false;
  await bus.redrive(work);
  await eventually(async () => expect(await deletedOf(admin, `${queue}.dead`)).toBeGreaterThanOrEqual(10));
});
