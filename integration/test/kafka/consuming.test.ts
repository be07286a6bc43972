import { setTimeout as pause } from 'node:timers/promises';

import type { HandlerContext } from '@waybill/core';
import { describe, expect } from 'vitest';

import { eventually } from '../../src/index.ts';
import { Gate, uniquePrefix } from '../bus/kit.ts';
import { type KafkaBus, kafkaTest, Noted, notes, openAdmin, openBus, orders, Placed, ownKafka } from './kit.ts';

const brokers = ownKafka();

/** One run of a handler. */
interface Run {
  readonly by: string;
  readonly n: number;
  readonly key: string;
  /** The number of the partition. */
  readonly slot: string;
  readonly redelivered: boolean;
  readonly signal: AbortSignal;
}

interface Note {
  readonly n: number;
  readonly key?: string;
}

/** A handler that records its run, then does what `work` does. */
function recorder(by: string, runs: Run[], work: (note: Note, run: Run) => Promise<void>) {
  return async (note: Note, { signal, delivery, redelivered }: HandlerContext): Promise<void> => {
    const slot = /\/(\d+)@/.exec(delivery.position)?.[1] ?? '?';
    const run = { by, n: note.n, key: note.key ?? '', slot, redelivered, signal };
    runs.push(run);
    await work(note, run);
  };
}

/** Runs by message. */
function timesOf(runs: readonly Run[]): ReadonlyMap<number, number> {
  const times = new Map<number, number>();
  for (const { n } of runs) times.set(n, (times.get(n) ?? 0) + 1);
  return times;
}

function publishNotes(bus: KafkaBus, count: number): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, (_, n) => bus.publish(Noted, { n })));
}

function publishPlaced(bus: KafkaBus, count: number, keys: number): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, (_, n) => bus.publish(Placed, { key: `k${n % keys}`, n })));
}

/** A consumer takes one message after the other until so many went well: then it has its whole window. */
const WARM_UP = 20;

const shortly = (): Promise<void> => pause(Math.random() * 50);

describe('a clean hand-over', () => {
  const COUNT = 2_000;
  const options = { concurrency: 32 };
  const kinds = [
    {
      kind: 'an unordered queue',
      queue: notes,
      publish: (bus: KafkaBus) => publishNotes(bus, COUNT),
      consume: (bus: KafkaBus, by: string, runs: Run[]) =>
        bus.consume(notes, { 'note.taken': recorder(by, runs, shortly) }, options),
    },
    {
      kind: 'an ordered queue',
      queue: orders,
      publish: (bus: KafkaBus) => publishPlaced(bus, COUNT, 100),
      consume: (bus: KafkaBus, by: string, runs: Run[]) =>
        bus.consume(orders, { 'order.placed': recorder(by, runs, shortly) }, options),
    },
  ];

  describe.each(kinds)('of $kind', ({ queue, publish, consume }) => {
    kafkaTest('repeats nothing when one of two processes closes, and loses nothing', async () => {
      const runs: Run[] = [];
      const prefix = uniquePrefix();
      const open = (): KafkaBus => openBus({ ...brokers, partitions: 6 }, { uses: [queue], prefix });
      const [leaves, stays] = [open(), open()];
      await consume(leaves, 'leaves', runs);
      await consume(stays, 'stays', runs);
      const published = publish(leaves);
      const shareOf = (by: string): number => runs.filter((run) => run.by === by).length;
      await eventually(() => shareOf('leaves') > 200 && shareOf('stays') > 200);
      await published;
      await leaves.close({ deadlineMs: 20_000 });
      const left = shareOf('leaves');
      expect(timesOf(runs).size).toBeLessThan(COUNT);
      await eventually(() => expect(timesOf(runs).size).toBe(COUNT), { withinMs: 20_000 });
      await eventually(async () => expect(await stays.depth(queue)).toMatchObject({ ready: 0, deadLettered: 0 }));
      expect([...timesOf(runs)].filter(([, times]) => times > 1)).toEqual([]);
      // What waited behind its key was handed out, and counts as that.
      if (queue === notes) expect(runs.filter(({ redelivered }) => redelivered)).toEqual([]);
      expect(runs.filter(({ signal }) => signal.aborted)).toEqual([]);
      expect(shareOf('leaves')).toBe(left);
      if (queue === orders) expectOrder(runs);
    });
  });
});

/** Runs of a key began in the order of its messages. */
function expectOrder(runs: readonly Run[]): void {
  const last = new Map<string, number>();
  for (const { key, n } of runs) {
    expect(n).toBeGreaterThan(last.get(key) ?? -1);
    last.set(key, n);
  }
}

kafkaTest('a third process that joins gets its share, and what is in hand is finished where it is', async () => {
  const runs: Run[] = [];
  const gate = new Gate();
  let isWarm = false;
  const prefix = uniquePrefix();
  const open = async (by: string): Promise<void> => {
    const bus = openBus({ ...brokers, partitions: 6 }, { uses: [orders], prefix });
    const handler = recorder(by, runs, () => (isWarm && by !== 'third' ? gate.opened : Promise.resolve()));
    await bus.consume(orders, { 'order.placed': handler }, { concurrency: 300 });
  };
  const publisher = openBus({ ...brokers, partitions: 6 }, { uses: [orders], prefix });
  await publisher.provision('create');
  await Promise.all([open('first'), open('second')]);
  const slotsOf = (by: string): ReadonlySet<string> =>
    new Set(runs.filter((run) => run.by === by).map((run) => run.slot));
  await publishPlaced(publisher, WARM_UP * 20, 200);
  await eventually(async () => expect(await publisher.depth(orders)).toMatchObject({ ready: 0 }));
  expect(runs.splice(0)).toHaveLength(WARM_UP * 20);
  isWarm = true;
  // One run a key is held at the gate, of both processes, in every partition.
  await publishPlaced(publisher, 600, 200);
  await eventually(() => expect([slotsOf('first').size, slotsOf('second').size]).toEqual([3, 3]));
  await eventually(() => expect(runs).toHaveLength(200));
  await open('third');
  // What is in hand is finished first, where it is.
  gate.open();
  await eventually(() => expect(timesOf(runs).size).toBe(600));
  await eventually(async () => {
    await publishPlaced(publisher, 50, 200);
    expect(slotsOf('third').size).toBe(2);
  });
  await eventually(async () => expect(await publisher.depth(orders)).toMatchObject({ ready: 0, deadLettered: 0 }));
  expect(runs.filter(({ signal }) => signal.aborted)).toEqual([]);
  const first = runs.slice(0, 600);
  expect(new Set(first.map(({ slot }) => slot)).size).toBe(6);
  expect([...timesOf(first)].filter(([, times]) => times > 1)).toEqual([]);
});

/** What a group has committed in the one partition of a topic. */
async function committed(groupId: string, topic: string): Promise<number> {
  const admin = await openAdmin(brokers);
  const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
  return Number(found?.partitions[0]?.offset);
}

kafkaTest('a slow key holds up no other of its partition, and what is before it is committed', async () => {
  const runs: Run[] = [];
  const gate = new Gate();
  const bus = openBus({ ...brokers, partitions: 1 }, { uses: [orders] });
  const work = ({ key }: Note): Promise<void> => (key === 'slow' ? gate.opened : Promise.resolve());
  await bus.consume(orders, { 'order.placed': recorder('only', runs, work) });
  const [group, topic] = [`${bus.prefix}.orders`, `${bus.prefix}.order-events`];
  await publishPlaced(bus, 50, 10);
  await bus.publish(Placed, { key: 'slow', n: 10_000 });
  await bus.publish(Placed, { key: 'slow', n: 10_001 });
  await publishPlaced(bus, 3_000, 10);
  await eventually(() => expect(runs).toHaveLength(50 + 1 + 3_000));
  await eventually(async () => expect(await committed(group, topic)).toBe(50));
  await eventually(async () => expect(await bus.depth(orders)).toMatchObject({ ready: 0, inFlight: 2 }));
  expect(runs.filter(({ key }) => key === 'slow').map(({ n }) => n)).toEqual([10_000]);
  gate.open();
  await eventually(async () => expect(await committed(group, topic)).toBe(3_052));
  expect(runs.filter(({ key }) => key === 'slow').map(({ n }) => n)).toEqual([10_000, 10_001]);
});

kafkaTest('a process that takes over while a key is slow repeats only that one', async () => {
  const runs: Run[] = [];
  const gate = new Gate();
  const first = openBus({ ...brokers, partitions: 1 }, { uses: [orders] });
  const work = ({ key }: Note, { by }: Run): Promise<void> =>
    key === 'slow' && by === 'first' ? gate.opened : Promise.resolve();
  await first.consume(orders, { 'order.placed': recorder('first', runs, work) });
  await publishPlaced(first, WARM_UP, 10);
  await first.publish(Placed, { key: 'slow', n: 10_000 });
  await publishPlaced(first, 500, 10);
  await eventually(() => expect(runs).toHaveLength(WARM_UP + 501));
  await eventually(async () => expect(await first.depth(orders)).toMatchObject({ ready: 0, inFlight: 1 }));
  await first.close({ deadlineMs: 500 });
  const second = openBus({ ...brokers, partitions: 1 }, { uses: [orders], prefix: first.prefix });
  await second.consume(orders, { 'order.placed': recorder('second', runs, work) });
  await eventually(async () => expect(await second.depth(orders)).toMatchObject({ ready: 0 }));
  expect(runs.filter(({ by }) => by === 'second').map(({ n }) => n)).toEqual([10_000]);
  gate.open();
});

kafkaTest('a handler that runs longer than the session keeps its partition', async () => {
  const runs: Run[] = [];
  const prefix = uniquePrefix();
  const sessionTimeoutMs = 6_000;
  const open = (): KafkaBus => openBus({ ...brokers, partitions: 2, sessionTimeoutMs }, { uses: [notes], prefix });
  const [first, second] = [open(), open()];
  let done = 0;
  const work = async ({ n }: Note): Promise<void> => {
    if (n < 0) return;
    await pause(sessionTimeoutMs + 3_000);
    done += 1;
  };
  for (const [by, bus] of [['first', first] as const, ['second', second] as const]) {
    await bus.consume(notes, { 'note.taken': recorder(by, runs, work) });
  }
  const warmUp = Array.from({ length: WARM_UP * 4 }, () => first.publish(Noted, { n: -1 }));
  await Promise.all(warmUp);
  await eventually(() => expect(runs).toHaveLength(warmUp.length));
  runs.length = 0;
  await publishNotes(first, 8);
  await eventually(() => expect(done).toBe(8), { withinMs: sessionTimeoutMs * 2 });
  await eventually(async () => expect(await first.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 }));
  expect(runs).toHaveLength(8);
  expect(new Set(runs.map(({ by }) => by)).size).toBe(2);
  expect(runs.filter(({ signal }) => signal.aborted)).toEqual([]);
  expect([...first.events, ...second.events].filter(({ name }) => name === 'lease-lost')).toEqual([]);
});

kafkaTest('what retention has deleted is passed over, up to the first that is there', async () => {
  const bus = openBus({ ...brokers, partitions: 1 }, { uses: [notes] });
  const topic = `${bus.prefix}.note-events`;
  const runs: Run[] = [];
  const gate = new Gate();
  const consumer = await bus.consume(notes, { 'note.taken': recorder('first', runs, () => gate.opened) });
  await bus.publish(Noted, { n: 0 });
  gate.open();
  await eventually(async () => expect(await committed(`${bus.prefix}.notes`, topic)).toBe(1));
  await consumer.close();
  for (let n = 1; n < 100; n += 1) await bus.publish(Noted, { n });
  const admin = await openAdmin(brokers);
  await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '30' }] });
  expect(await bus.depth(notes)).toMatchObject({ ready: 70 });
  await bus.consume(notes, { 'note.taken': recorder('second', runs, () => Promise.resolve()) });
  await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0 }));
  const wanted = Array.from({ length: 70 }, (_, index) => 30 + index);
  const seen = runs.filter(({ by }) => by === 'second').map(({ n }) => n);
  expect(seen.toSorted((a, b) => a - b)).toEqual(wanted);
  await eventually(async () => expect(await committed(`${bus.prefix}.notes`, topic)).toBe(100));
});

kafkaTest('a process that reads on passes over what is deleted meanwhile', async () => {
  const bus = openBus({ ...brokers, partitions: 1 }, { uses: [notes] });
  const topic = `${bus.prefix}.note-events`;
  const offsets: number[] = [];
  const gate = new Gate();
  const handler = async ({ n }: Note, { delivery }: HandlerContext): Promise<void> => {
    if (n < 0) return;
    offsets.push(Number(delivery.position.split('@')[1]));
    await gate.opened;
  };
  await bus.consume(notes, { 'note.taken': handler });
  await Promise.all(Array.from({ length: WARM_UP }, () => bus.publish(Noted, { n: -1 })));
  await eventually(async () => expect(await committed(`${bus.prefix}.notes`, topic)).toBe(WARM_UP));
  await publishNotes(bus, 6_000);
  await eventually(() => expect(offsets.length).toBeGreaterThan(1));
  const admin = await openAdmin(brokers);
  await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5000' }] });
  gate.open();
  const end = WARM_UP + 6_000;
  await eventually(async () => expect(await committed(`${bus.prefix}.notes`, topic)).toBe(end));
  const last = offsets.filter((offset) => offset >= 5_000).toSorted((a, b) => a - b);
  expect(last).toEqual(Array.from({ length: end - 5_000 }, (_, index) => 5_000 + index));
  // What was read ahead was handled; between that and the first that is there, there is nothing.
  expect(offsets.length).toBeLessThan(5_000);
});
