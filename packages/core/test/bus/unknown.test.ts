import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ConsumeOptions, defineCommand, defineEvent, defineQueue, RetryLater } from '../../src/index.ts';
import { bookkeepingOf, cloudEvent, foreign, letters, never, range, World } from './kit.ts';

const first = z.object({ n: z.number() });
const second = z.object({ n: z.number(), currency: z.string() });
const KnownV1 = defineEvent('known', first, { topic: 'news' });
const KnownV2 = defineEvent('known', first, { topic: 'news' }).evolve(second, ({ n }) => ({ n, currency: 'EUR' }));
const Newer = defineEvent('newer', first, { topic: 'news' });
const Elsewhere = defineEvent('elsewhere', first, { topic: 'news' });
const oldQueue = defineQueue('desk', { handles: [KnownV1] });
const newQueue = defineQueue('desk', { handles: [KnownV2, Newer] });
/** Binds what only other queues want. */
const otherQueue = defineQueue('other', { handles: [Elsewhere] });

const KeyedV1 = defineEvent('keyed', first, { topic: 'lines' }).keyedBy(({ n }) => `k${n}`);
const KeyedV2 = defineEvent('keyed', first, { topic: 'lines' })
  .evolve(second, ({ n }) => ({ n, currency: 'EUR' }))
  .keyedBy(({ n }) => `k${n}`);
const oldLine = defineQueue('line', { handles: [KeyedV1], ordered: true });
const newLine = defineQueue('line', { handles: [KeyedV2], ordered: true });

async function oldWorker(world: World, options: ConsumeOptions = {}) {
  const process = world.process([oldQueue]);
  const handled: number[] = [];
  const consumer = await process.bus.consume(oldQueue, { known: ({ n }) => void handled.push(n) }, options);
  return { ...process, consumer, handled };
}

async function newWorker(world: World, options: ConsumeOptions = {}) {
  const process = world.process([newQueue, otherQueue]);
  const handled: string[] = [];
  const attempts = new Set<number>();
  const consumer = await process.bus.consume(
    newQueue,
    {
      known: ({ n, currency }, { attempt }) => void (handled.push(`known ${n} ${currency}`), attempts.add(attempt)),
      newer: ({ n }, { attempt }) => void (handled.push(`newer ${n}`), attempts.add(attempt)),
    },
    options,
  );
  return { ...process, consumer, handled, attempts };
}

describe('a type or version that this process does not know', () => {
  it('waits 5 s at a time, without counting an attempt, until a newer process knows it', async () => {
    const world = new World();
    const old = await oldWorker(world);
    const publisher = world.process([newQueue]);
    await publisher.bus.publish(KnownV2, { n: 1, currency: 'USD' });
    await publisher.bus.publish(Newer, { n: 2 });
    await world.time.advance(60_000);
    expect(old.handled).toEqual([]);
    expect(old.seen('retry-scheduled')).toEqual([]);
    const waits = old.seen('waits').filter(({ type }) => type === 'newer');
    expect(waits).toHaveLength(13);
    for (const [index, { until }] of waits.entries()) {
      if (index > 0) expect(until - (waits[index - 1]?.until ?? 0)).toBe(5_000);
    }
    expect(old.seam.sent.map(bookkeepingOf).every(({ attempt }) => attempt === 1)).toBe(true);
    expect(new Set(old.seam.sent.map(({ id }) => id)).size).toBe(old.seam.sent.length);
    await old.consumer.close();
    const fresh = await newWorker(world);
    await world.time.advance(5_000);
    expect(fresh.handled.toSorted()).toEqual(['known 1 USD', 'newer 2']);
    expect(fresh.attempts).toEqual(new Set([1]));
    expect(world.broker.queues.get('desk')?.depth()).toEqual({ ready: 0, inFlight: 0, delayed: 0, deadLettered: 0 });
  });

  it('is handled in a rolling deploy, beside good messages, with nothing dead', async () => {
    const world = new World();
    const old = await oldWorker(world);
    const fresh = await newWorker(world);
    const publisher = world.process([newQueue]);
    for (const n of range(20)) {
      await publisher.bus.publish(KnownV2, { n, currency: 'USD' });
      await publisher.bus.publish(Newer, { n });
      for (const good of range(5)) {
        await world
          .raw()
          .send(
            [cloudEvent('desk', { id: `good-${n}-${good}`, type: 'known', dataversion: 1, data: { n: 1_000 + n } })],
            never,
          );
      }
    }
    await world.time.advance(100_000);
    const handled = fresh.handled.filter((text) => !text.endsWith('EUR'));
    expect(handled.toSorted()).toEqual(
      range(20)
        .flatMap((n) => [`known ${n} USD`, `newer ${n}`])
        .toSorted(),
    );
    expect(old.handled.length + fresh.handled.filter((text) => text.endsWith('EUR')).length).toBe(100);
    expect(world.broker.queues.get('desk')?.depth()).toEqual({ ready: 0, inFlight: 0, delayed: 0, deadLettered: 0 });
  });

  it('is a dead letter after `unknownForMs`, with its own reason, and comes back by a redrive', async () => {
    const world = new World();
    const old = await oldWorker(world, { unknownForMs: 90_000 });
    const publisher = world.process([newQueue]);
    await publisher.bus.publish(KnownV2, { n: 1, currency: 'USD' }, { id: 'version' });
    await publisher.bus.publish(Newer, { n: 2 }, { id: 'type' });
    await world.time.advance(89_000);
    expect(await letters(old.bus, oldQueue)).toEqual([]);
    await world.time.advance(6_000);
    const found = (await letters(old.bus, oldQueue)).map(({ id, reason, attempts }) => ({ id, reason, attempts }));
    expect(found.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual([
      { id: 'type', reason: 'unknown-type', attempts: 1 },
      { id: 'version', reason: 'unknown-version', attempts: 1 },
    ]);
    await old.consumer.close();
    const fresh = await newWorker(world);
    const redriving = fresh.bus.redrive(newQueue);
    await world.time.advance(5_000);
    expect(await redriving).toMatchObject({ redriven: 2 });
    expect(fresh.handled.toSorted()).toEqual(['known 1 USD', 'newer 2']);
  });

  it('is a dead letter after 10 minutes by default', async () => {
    const world = new World();
    const old = await oldWorker(world);
    await world.process([newQueue]).bus.publish(Newer, { n: 2 });
    await world.time.advance(599_000);
    expect(await letters(old.bus, oldQueue)).toEqual([]);
    await world.time.advance(10_000);
    expect(await letters(old.bus, oldQueue)).toMatchObject([{ reason: 'unknown-type' }]);
  });

  it('waits its whole time again after a redrive', async () => {
    const world = new World({ deduplicationMs: 3_600_000 });
    const old = await oldWorker(world, { unknownForMs: 20_000 });
    await world.process([newQueue]).bus.publish(Newer, { n: 2 });
    await world.time.advance(30_000);
    const redriving = old.bus.redrive(oldQueue);
    await world.time.advance(3_000);
    await redriving;
    await world.time.advance(10_000);
    expect(await letters(old.bus, oldQueue)).toEqual([]);
    await world.time.advance(20_000);
    expect(await letters(old.bus, oldQueue)).toMatchObject([{ reason: 'unknown-type', redrives: 1 }]);
  });

  it('keeps the attempts it had, where a newer process failed first', async () => {
    const world = new World();
    const publisher = world.process([newQueue]);
    const attempts: number[] = [];
    const failing = world.process([newQueue]);
    const consumer = await failing.bus.consume(newQueue, {
      known: () => undefined,
      newer: (_data, { attempt }) => (attempts.push(attempt), Promise.reject(new Error('no'))),
    });
    await publisher.bus.publish(Newer, { n: 1 });
    await world.time.advance(500);
    await consumer.close();
    const old = await oldWorker(world);
    await world.time.advance(12_000);
    await old.consumer.close();
    const again = await newWorker(world);
    await world.time.advance(6_000);
    expect(attempts).toEqual([1]);
    expect(again.attempts).toEqual(new Set([2]));
  });

  it('that is no newer version is undecodable at once', async () => {
    const world = new World();
    const old = await oldWorker(world);
    await world.raw().send(
      ['abc', 0, -1, 1.5, ''].map((dataversion) =>
        cloudEvent('desk', { id: `v${dataversion}`, type: 'known', dataversion, data: { n: 1 } }),
      ),
      never,
    );
    await world.time.advance(1_000);
    const reasons = (await letters(old.bus, oldQueue)).map(({ reason }) => reason);
    expect(reasons).toHaveLength(5);
    for (const reason of reasons) expect(['undecodable', 'invalid']).toContain(reason);
  });
});

describe('on an ordered queue', () => {
  it('is held for the retry schedule with its key, then dead, and its successors run', async () => {
    const world = new World();
    const old = world.process([oldLine]);
    const handled: string[] = [];
    await old.bus.consume(
      oldLine,
      { keyed: ({ n }, { metadata }) => void handled.push(`${n} ${metadata.id}`) },
      { retry: { delaysMs: [1_000, 5_000] } },
    );
    const publisher = world.process([newLine]);
    await publisher.bus.publish(KeyedV2, { n: 1, currency: 'USD' }, { id: 'newer' });
    await world.raw().send(
      [
        foreign('line', 'x', {
          ...cloudEvent('line', { id: 'behind', type: 'keyed', dataversion: 1, partitionkey: 'k1', data: { n: 1 } }),
          key: 'k1',
        }),
        foreign('line', 'y', {
          ...cloudEvent('line', { id: 'beside', type: 'keyed', dataversion: 1, partitionkey: 'k2', data: { n: 2 } }),
          key: 'k2',
        }),
      ],
      never,
    );
    await world.time.advance(5_000);
    expect(handled).toEqual(['2 beside']);
    await world.time.advance(2_000);
    expect(handled).toEqual(['2 beside', '1 behind']);
    expect(await letters(old.bus, oldLine)).toMatchObject([{ id: 'newer', reason: 'unknown-version' }]);
  });
});

describe('a broker without filters', () => {
  const unfiltered = { capabilities: { filtersTypes: false } } as const;

  it('brings types that nobody here bound: they reach no handler and no dead lane', async () => {
    const world = new World(unfiltered);
    const fresh = await newWorker(world);
    await fresh.bus.publish(Elsewhere, { n: 1 });
    await fresh.bus.publish(Newer, { n: 2 });
    await world.time.advance(60_000);
    expect(fresh.handled).toEqual(['newer 2']);
    expect(fresh.seen('skipped')).toMatchObject([{ queue: 'desk', type: 'elsewhere', reason: 'unbound-type' }]);
    expect(world.broker.queues.get('desk')?.depth()).toEqual({ ready: 0, inFlight: 0, delayed: 0, deadLettered: 0 });
    expect(world.broker.queues.get('other')?.depth()).toMatchObject({ ready: 2 });
  });

  it('keeps a redriven letter of a type that this process does not know', async () => {
    const world = new World(unfiltered);
    const failing = world.process([newQueue]);
    const failed = await failing.bus.consume(
      newQueue,
      { known: () => undefined, newer: () => Promise.reject(new Error('no')) },
      { retry: { delaysMs: [] } },
    );
    await failing.bus.publish(Newer, { n: 1 });
    await world.time.advance(100);
    await failed.close();
    const old = await oldWorker(world);
    const redriving = failing.bus.redrive(newQueue);
    await world.time.advance(7_000);
    expect(await redriving).toMatchObject({ redriven: 1 });
    expect(old.seen('skipped')).toEqual([]);
    await old.consumer.close();
    const fresh = await newWorker(world);
    await world.time.advance(6_000);
    expect(fresh.handled).toEqual(['newer 1']);
  });

  it('keeps a long delayed command of a type that this process does not know', async () => {
    const world = new World({ capabilities: { filtersTypes: false, maxDelayMs: 3_000 } });
    const Do = defineCommand('do', first);
    const Other = defineCommand('other', first);
    const before = defineQueue('jobs', { handles: [Other] });
    const after = defineQueue('jobs', { handles: [Other, Do] });
    const old = world.process([before]);
    const consumer = await old.bus.consume(before, { other: () => undefined });
    const fresh = world.process([after]);
    await fresh.bus.send(after, Do, { n: 1 }, { delayMs: 20_000 });
    await world.time.advance(15_000);
    await consumer.close();
    const handled: number[] = [];
    await fresh.bus.consume(after, { other: () => undefined, do: ({ n }) => void handled.push(n) });
    await world.time.advance(20_000);
    expect(handled).toEqual([1]);
  });
});

describe('a broker that cannot delay', () => {
  const cannotDelay = { capabilities: { maxDelayMs: 0 } } as const;

  it('dead-letters at once what waits for a newer process elsewhere', async () => {
    const world = new World(cannotDelay);
    const old = await oldWorker(world, { retry: { delaysMs: [] } });
    const publisher = world.process([newQueue]);
    await publisher.bus.publish(Newer, { n: 2 });
    await world.time.advance(1_000);
    expect((await letters(old.bus, oldQueue)).map(({ reason }) => reason)).toEqual(['unknown-type']);
  });

  it('dead-letters what a handler wants later, and never runs it early', async () => {
    const world = new World(cannotDelay);
    const { bus } = world.process([oldQueue]);
    let runs = 0;
    await bus.consume(
      oldQueue,
      {
        known: () => {
          runs += 1;
          throw new RetryLater(1_000);
        },
      },
      { retry: { delaysMs: [] } },
    );
    await bus.publish(KnownV1, { n: 1 });
    await world.time.advance(60_000);
    expect(runs).toBe(1);
    expect((await letters(bus, oldQueue)).map(({ reason }) => reason)).toEqual(['handler-failed']);
  });
});
