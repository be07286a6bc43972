import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

import { defineEvent } from '@waybill/core';
import { afterAll, beforeAll, expect } from 'vitest';
import { z } from 'zod';

import { eventually, type Kafka, startKafka } from '../../src/index.ts';
import { codesOf, missing, type SendOutcome, sendMany, storedIds } from '../bus/kit.ts';
import { containerTest, hasContainers } from '../shared.ts';
import { clientFor, openAdmin, openBus } from './kit.ts';

let cluster: Kafka;

beforeAll(async () => {
  if (hasContainers) cluster = await startKafka({ nodes: 3 });
});
afterAll(async () => {
  await cluster?.stop();
});

const Ticked = defineEvent('tick', z.object({ key: z.string(), n: z.number(), pad: z.string() }), {
  topic: 'tick-events',
}).keyedBy(({ key }) => key);

const COUNT = 100_000;
const KEYS = 200;
const IN_FLIGHT = 500;
const PARTITIONS = 6;
/** A burst of as many as may be in flight begins every so often, so that faults meet them all along. */
const BURST_MS = 200;

interface Copy {
  readonly key: string;
  readonly n: number;
  readonly id: string;
}

/** Everything that a topic holds, per partition in its order, read past Waybill. */
async function copiesIn(topic: string): Promise<readonly Copy[]> {
  const config = { brokers: [...cluster.brokers] };
  const admin = await openAdmin(config);
  // A leader may have been moved just now.
  const ends = await eventually(() => admin.fetchTopicOffsets(topic));
  const total = ends.reduce((sum, { high }) => sum + Number(high), 0);
  const copies: Copy[] = [];
  const consumer = clientFor(config).consumer({ groupId: randomUUID(), maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachBatch: async ({ batch }) => {
      for (const { value } of batch.messages) {
        const { id, data } = JSON.parse(value?.toString() ?? '') as { id: string; data: { key: string; n: number } };
        copies.push({ id, key: data.key, n: data.n });
      }
    },
  });
  await eventually(() => expect(copies.length).toBe(total), { withinMs: 40_000, everyMs: 200 });
  await consumer.disconnect();
  return copies;
}

/** Per key, the calls whose first copy is stored behind that of a later call. */
function outOfOrder(copies: readonly Copy[]): readonly string[] {
  const seen = new Set<string>();
  const last = new Map<string, number>();
  const wrong: string[] = [];
  for (const { key, n, id } of copies) {
    if (seen.has(id)) continue;
    seen.add(id);
    const before = last.get(key) ?? -1;
    if (n < before) wrong.push(`${key}: ${n} behind ${before}`);
    last.set(key, Math.max(n, before));
  }
  return wrong;
}

/** Publishes everything in bursts. `n` counts the calls as they are made: timers of one millisecond end in any order. */
function publishAll(publish: (n: number, id: string) => Promise<void>): Promise<readonly SendOutcome[]> {
  const startedAt = Date.now();
  let calls = 0;
  return sendMany(COUNT, IN_FLIGHT, async (turn, id) => {
    const beginsAt = startedAt + Math.floor(turn / IN_FLIGHT) * BURST_MS;
    if (beginsAt > Date.now()) await pause(beginsAt - Date.now());
    await publish(calls++, id);
  });
}

/** Has every partition's leader move to the next node, one after the other, until `ended`; resolves with how many did. */
async function moveLeaders(topic: string, ended: () => boolean, first = 0): Promise<number> {
  let moves = first;
  for (; !ended(); moves += 1) {
    const partition = moves % PARTITIONS;
    const leader = await cluster.leaderOf(topic, partition);
    await cluster.moveLeader(topic, partition, (leader % 3) + 1);
  }
  return moves;
}

containerTest(
  'while leaders move and a node dies, nothing that was stored is lost and keys keep their order',
  { timeout: 180_000 },
  async () => {
    const bus = openBus(
      { brokers: cluster.brokers, partitions: PARTITIONS },
      { uses: [Ticked], sendTimeoutMs: 60_000 },
    );
    await bus.provision('create');
    const topic = `${bus.prefix}.tick-events`;
    const startedAt = Date.now();
    let ended = false;
    const publishing = publishAll((n, id) =>
      bus.publish(Ticked, { key: `k${n % KEYS}`, n, pad: 'x'.repeat(60) }, { id }),
    ).finally(() => (ended = true));
    let moves = await moveLeaders(topic, () => Date.now() > startedAt + 10_000);
    const node = cluster.nodes.find(({ id }) => id === 2);
    await node?.kill();
    await eventually(async () => expect(await cluster.leaderOf(topic, 0)).not.toBe(2));
    await node?.start();
    const endedBeforeStart = ended;
    moves = await moveLeaders(topic, () => ended, moves);
    const outcomes = await publishing;
    expect(endedBeforeStart).toBe(false);
    expect(moves).toBeGreaterThan(6);
    expect(codesOf(outcomes)).toEqual({ stored: COUNT });
    const copies = await copiesIn(topic);
    const found = copies.map(({ id }) => id);
    expect(missing(storedIds(outcomes), found)).toEqual([]);
    expect(outOfOrder(copies)).toEqual([]);
    // Sends did fail meanwhile: it was put to the test.
    expect(bus.events.some((event) => event.name === 'sent' && event.failed > 0)).toBe(true);
  },
);
