// Topics that change under running consumers, and that several queues share.
import { defineEvent, defineQueue } from '@waybill/core';
import { expect } from 'vitest';
import { z } from 'zod';
import { eventually } from '../../src/index.ts';
import { kafkaTest, Noted, notes, openAdmin, openBus, ownKafka } from './kit.ts';

const brokers = ownKafka();

kafkaTest('a running consumer reads partitions that its topic is given', { timeout: 110_000 }, async () => {
  const admin = await openAdmin(brokers);
  const bus = openBus(brokers, { uses: [notes] });
  // Not how often: a send is repeated whole while one of its new partitions has no leader.
  const seen = new Set<number>();
  await bus.consume(notes, { 'note.taken': ({ n }) => void seen.add(n) });
  await admin.createPartitions({ topicPartitions: [{ topic: `${bus.prefix}.note-events`, count: 12 }] });
  const other = openBus(brokers, { uses: [Noted], prefix: bus.prefix });
  await eventually(async () => {
    const [metadata] = (await admin.fetchTopicMetadata({ topics: [`${bus.prefix}.note-events`] })).topics;
    expect(metadata?.partitions).toHaveLength(12);
  });
  await Promise.all(Array.from({ length: 200 }, (_, n) => other.publish(Noted, { n })));
  await eventually(() => expect(seen.size).toBe(200), { withinMs: 95_000 });
});

kafkaTest('a queue with the name of a topic keeps the topic for its other queues', { timeout: 60_000 }, async () => {
  const Same = defineEvent('same.seen', z.object({ n: z.number() }), { topic: 'same' });
  const same = defineQueue('same', { handles: [Same] });
  const slow = defineQueue('slow', { handles: [Same] });
  const bus = openBus(brokers, { uses: [same, slow] });
  let seen = 0;
  await bus.consume(same, { 'same.seen': () => void (seen += 1) });
  await Promise.all(Array.from({ length: 50 }, (_, n) => bus.publish(Same, { n })));
  await eventually(() => expect(seen).toBe(50));
  const until = Date.now() + 13_000;
  let sent = 50;
  await eventually(
    async () => {
      await bus.publish(Same, { n: 1 });
      sent += 1;
      return Date.now() > until;
    },
    { withinMs: 20_000, everyMs: 500 },
  );
  const found: number[] = [];
  await bus.consume(slow, { 'same.seen': ({ n }) => void found.push(n) });
  await eventually(() => expect(found.length).toBe(sent));
});
