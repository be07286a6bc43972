import type { MemoryOptions } from '@waybill/memory';
import { describe, expect, it } from 'vitest';
import { Reject, RetryLater } from '../../src/index.ts';
import { bookkeepingOf, cloudEvent, letters, never, notes, Noted, range, unavailable, warmUp, World } from './kit.ts';

interface Run {
  readonly attempt: number;
  readonly at: number;
}

async function failing(
  world: World,
  throws: (attempt: number) => unknown,
  options: Parameters<World['process']>[1] = {},
) {
  const process = world.process(undefined, options);
  const runs: Run[] = [];
  await process.bus.consume(notes, {
    'note.taken': async (_data, { attempt }) => {
      runs.push({ attempt, at: world.time.now() });
      const thrown = throws(attempt);
      if (thrown !== undefined) throw thrown;
    },
  });
  return { ...process, runs };
}

const STRICT: readonly (readonly [string, MemoryOptions])[] = [
  ['nothing special', {}],
  ['no reject', { capabilities: { reject: 'none' } }],
  ['a bare reject', { capabilities: { reject: 'bare' } }],
  ['no filters', { capabilities: { filtersTypes: false } }],
  ['no order', { capabilities: { ordering: 'none' } }],
  ['a binary envelope', { capabilities: { envelope: 'binary' } }],
  ['a delay ceiling of 3 s', { capabilities: { maxDelayMs: 3_000 } }],
  ['coarse delays', { capabilities: { delayErrorMs: 1_000 } }],
  ['leases without a clock', { leaseMs: Number.POSITIVE_INFINITY }],
  ['deduplication', { deduplicationMs: 600_000 }],
  [
    'calls of one message',
    { limits: { send: { count: 1, concurrency: 1 }, receive: { count: 1 }, settle: { count: 1, concurrency: 1 } } },
  ],
  ['calls no closer than 50 ms', { limits: { send: { everyMs: 50 }, settle: { everyMs: 50 } } }],
];

describe('the default schedule', () => {
  it('runs five attempts after 1, 5, 30 and 300 s, then leaves a dead letter', async () => {
    const world = new World();
    const { bus, runs } = await failing(world, () => new Error('no'));
    const start = world.time.now();
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(336_000);
    expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
    expect(runs.map(({ at }) => at - start)).toEqual([0, 1_000, 6_000, 36_000, 336_000]);
    expect(await letters(bus, notes)).toMatchObject([{ reason: 'handler-failed', attempts: 5 }]);
    await world.time.advance(400_000);
    expect(runs).toHaveLength(5);
  });

  it('waits to the last millisecond', async () => {
    const world = new World();
    const { bus, runs } = await failing(world, () => new Error('no'));
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(999);
    expect(runs).toHaveLength(1);
    await world.time.advance(1);
    expect(runs).toHaveLength(2);
  });

  it('adds up to 20 % and subtracts nothing', async () => {
    const world = new World();
    const { bus, runs } = await failing(world, () => new Error('no'), { random: () => 0.999_999 });
    const start = world.time.now();
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(1_000_000);
    const waits = runs
      .map(({ at }) => at - start)
      .map((at, index, all) => at - (all[index - 1] ?? 0))
      .slice(1);
    expect(waits).toEqual([1_200, 6_000, 36_000, 360_000]);
  });

  it.each(STRICT)('counts attempts 1 to 5, never early, with %s', async (_, options) => {
    const world = new World(options);
    const { bus, runs } = await failing(world, () => new Error('no'));
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(350_000);
    expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
    const least = [0, 1_000, 5_000, 30_000, 300_000];
    for (const [index, { at }] of runs.entries()) {
      const waited = at - (runs[index - 1]?.at ?? at);
      expect(waited).toBeGreaterThanOrEqual(least[index] ?? 0);
      expect(waited).toBeLessThanOrEqual((least[index] ?? 0) + 1_200);
    }
    expect(await letters(bus, notes)).toMatchObject([{ reason: 'handler-failed', attempts: 5 }]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 1 });
  });
});

describe('a retry', () => {
  it('succeeds at a later attempt without a trace', async () => {
    const world = new World();
    const { bus, runs } = await failing(world, (attempt) => (attempt < 3 ? new Error('no') : undefined));
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(60_000);
    expect(runs).toHaveLength(3);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('follows a schedule of its own', async () => {
    const world = new World();
    const { bus } = world.process();
    const at: number[] = [];
    const start = world.time.now();
    await bus.consume(
      notes,
      { 'note.taken': () => (at.push(world.time.now() - start), Promise.reject(new Error('no'))) },
      { retry: { delaysMs: [10, 20] } },
    );
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(1_000);
    expect(at).toEqual([0, 10, 30]);
  });

  it('may be switched off', async () => {
    const world = new World();
    const { bus } = world.process();
    const runs: number[] = [];
    await bus.consume(
      notes,
      { 'note.taken': (_, { attempt }) => (runs.push(attempt), Promise.reject(new Error('no'))) },
      { retry: { delaysMs: [] } },
    );
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10_000);
    expect(runs).toEqual([1]);
    expect(await letters(bus, notes)).toMatchObject([{ reason: 'handler-failed', attempts: 1 }]);
  });

  it('holds no handler slot while it waits', async () => {
    const world = new World();
    const { bus } = world.process();
    const done: number[] = [];
    const handler = async ({ n }: { n: number }): Promise<void> => {
      if (n >= 1_000) throw new Error('no');
      done.push(n);
    };
    const consumer = await bus.consume(notes, { 'note.taken': handler }, { concurrency: 2 });
    for (const n of range(50)) await bus.publish(Noted, { n: 1_000 + n });
    for (const n of range(50)) await bus.publish(Noted, { n });
    await world.time.advance(500);
    expect(done).toHaveLength(50);
    expect(consumer.health()).toMatchObject({ running: 0, held: 0 });
    expect(world.queue(notes).delayed).toBe(50);
  });

  it('is taken over by another process when this one dies', async () => {
    const world = new World();
    const first = await failing(world, () => new Error('no'));
    await first.bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    first.kill();
    const second = await failing(world, () => undefined);
    await world.time.advance(2_000);
    expect(second.runs).toMatchObject([{ attempt: 2 }]);
  });

  it('is stored before its original is accepted', async () => {
    const world = new World();
    const { bus, seam, runs } = await failing(world, (attempt) => (attempt === 1 ? new Error('no') : undefined));
    const order: string[] = [];
    seam.afterSend = (batch) => void order.push(...batch.map(({ id }) => `stored ${id}`));
    seam.beforeSettle = (batch) => void order.push(...batch.map(({ action }) => action));
    await bus.publish(Noted, { n: 1 }, { id: 'a' });
    await world.time.advance(5_000);
    expect(order).toEqual(['stored a', 'stored a#a2', 'accept', 'accept']);
    expect(runs).toHaveLength(2);
  });

  it('is stored once while its original cannot be accepted', async () => {
    const world = new World();
    const { bus, seam, runs } = await failing(world, (attempt) => (attempt === 1 ? new Error('no') : undefined));
    seam.refuseSettlement = unavailable;
    await bus.publish(Noted, { n: 1 }, { id: 'a' });
    await world.time.advance(60_000);
    expect(seam.sent.map(({ id }) => id)).toEqual(['a', 'a#a2']);
    // The copy is handled too, and cannot be accepted either.
    expect(world.queue(notes)).toMatchObject({ inFlight: 2 });
    seam.refuseSettlement = undefined;
    await world.time.advance(10_000);
    expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('waits for a broker that takes no copies, without running the handler again, while good messages flow', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    const runs: number[] = [];
    await bus.consume(notes, {
      'note.taken': ({ n }, { attempt }) => {
        if (n < 0) return;
        runs.push(n);
        if (n === 7 && attempt === 1) throw new Error('no');
      },
    });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    seam.refuse = ({ id }) => (id.includes('#') ? unavailable() : undefined);
    for (const n of range(30)) await bus.publish(Noted, { n });
    await world.time.advance(60_000);
    expect(runs.filter((n) => n === 7)).toHaveLength(1);
    expect(new Set(runs).size).toBe(30);
    expect(world.queue(notes)).toMatchObject({ inFlight: 1, delayed: 0 });
    seam.refuse = undefined;
    await world.time.advance(10_000);
    expect(runs.filter((n) => n === 7)).toHaveLength(2);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('is not swallowed by a broker that remembers ids', async () => {
    const world = new World({ deduplicationMs: 3_600_000 });
    const { bus, runs, seam } = await failing(world, (attempt) => (attempt < 5 ? new Error('no') : undefined));
    await bus.publish(Noted, { n: 1 }, { id: 'a' });
    await world.time.advance(400_000);
    expect(runs).toHaveLength(5);
    expect(seam.sent.map(({ id }) => id)).toEqual(['a', 'a#a2', 'a#a3', 'a#a4', 'a#a5']);
  });

  it('carries when it first failed and the last error, in one small header', async () => {
    const world = new World();
    const { bus, seam } = await failing(world, (attempt) => new TypeError(`no ${attempt} 😀 ${'x'.repeat(100_000)}`));
    const start = world.time.now();
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(336_000);
    const copies = seam.sent.slice(1).map(bookkeepingOf);
    expect(copies).toHaveLength(4);
    for (const [index, copy] of copies.entries()) {
      expect(copy).toMatchObject({
        attempt: index + 2,
        queue: 'notes',
        topic: 'notes',
        firstFailedAt: start,
        error: { name: 'TypeError' },
      });
      expect((copy['error'] as { message: string }).message).toMatch(new RegExp(`^no ${index + 1} `));
      expect(copy['error']).not.toHaveProperty('stack');
    }
    for (const { headers } of seam.sent.slice(1)) {
      expect(headers['waybill']?.length).toBeLessThanOrEqual(2_048);
      expect(headers['waybill']).toMatch(/^[\x20-\x7e]+$/);
    }
  });

  it('moves the raw bytes and headers, byte for byte', async () => {
    const world = new World();
    const { bus, seam, runs } = await failing(world, (attempt) => (attempt === 1 ? new Error('no') : undefined));
    await bus.publish(Noted, { n: 0 });
    const spaced = `{ "data" : {"n":1, "text":"a\\u00e9 😀\\n"}, "specversion":"1.0","id":"f-1","source":"x","type":"note.taken" }\n`;
    const body = new TextEncoder().encode(spaced);
    await world.raw().send([cloudEvent('notes', {}, { body, headers: { 'x-other': 'kept' } })], never);
    await world.time.advance(10_000);
    const copy = seam.sent.find(({ headers }) => headers['x-other'] === 'kept');
    expect(copy?.body).toEqual(body);
    expect(copy?.contentType).toBe('application/cloudevents+json');
    expect(copy?.headers).toMatchObject({ 'x-other': 'kept' });
    expect(runs).toHaveLength(4);
  });

  it('carries no key on an unordered queue, so that any process may take it', async () => {
    const world = new World();
    const { bus, seam } = await failing(world, () => new Error('no'));
    await bus.publish(Noted, { n: 1 });
    await world.raw().send([cloudEvent('notes', { id: 'keyed', data: { n: 1 } }, { key: 'k' })], never);
    await world.time.advance(500);
    expect(seam.sent.find(({ id }) => id === 'keyed#a2')).not.toHaveProperty('key');
  });

  it('works for two foreign messages with one id, of two sources, on a broker that remembers ids', async () => {
    const world = new World({ deduplicationMs: 3_600_000 });
    const { bus, runs } = await failing(world, (attempt) => (attempt === 1 ? new Error('no') : undefined));
    await bus.provision();
    await world.raw().send(
      ['/a', '/b'].map((source) =>
        cloudEvent('notes', { id: '1', source, dataversion: undefined, data: { n: 1 } }, { id: source }),
      ),
      never,
    );
    await world.time.advance(10_000);
    expect(runs.map(({ attempt }) => attempt).toSorted()).toEqual([1, 1, 2, 2]);
  });

  it('works for a foreign message whose id is too long for a copy', async () => {
    const world = new World();
    const { bus, runs } = await failing(world, (attempt) => (attempt === 1 ? new Error('no') : undefined));
    await bus.publish(Noted, { n: 0 });
    await world.time.advance(2_000);
    runs.length = 0;
    await world.raw().send([cloudEvent('notes', { id: 'x'.repeat(200), data: { n: 1 } })], never);
    await world.time.advance(10_000);
    expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it.each([
    ['an error whose message is no text', Object.assign(new Error('x'), { message: { code: 7 } })],
    ['an error without a name', Object.assign(new Error('x'), { name: undefined })],
    ['text', 'just text'],
    ['nothing', undefined],
    ['null', null],
    [
      'a circle',
      (() => {
        const circle: Record<string, unknown> = {};
        circle['self'] = circle;
        return circle;
      })(),
    ],
    ['a big integer', 10n],
  ])('is made of %s, thrown at once or later', async (_, thrown) => {
    const world = new World();
    const { bus } = world.process();
    const runs: number[] = [];
    await bus.consume(notes, {
      'note.taken': ({ n }, { attempt }) => {
        if (n === 3) return;
        runs.push(n * 10 + attempt);
        if (attempt > 1) return;
        if (n === 1) throw thrown;
        return Promise.resolve().then(() => {
          throw thrown;
        });
      },
    });
    for (const n of [1, 2, 3]) await bus.publish(Noted, { n });
    await world.time.advance(5_000);
    expect(runs.toSorted()).toEqual([11, 12, 21, 22]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });
});

describe('RetryLater', () => {
  it('waits its own time and counts as an attempt', async () => {
    const world = new World();
    const { bus, runs } = await failing(world, (attempt) => (attempt < 3 ? new RetryLater(70_000) : undefined));
    const start = world.time.now();
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(200_000);
    expect(runs.map(({ attempt, at }) => [attempt, at - start])).toEqual([
      [1, 0],
      [2, 70_000],
      [3, 140_000],
    ]);
  });

  it('ends with the schedule', async () => {
    const world = new World();
    const { bus, runs } = await failing(world, () => new RetryLater(10));
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(1_000);
    expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
    expect(await letters(bus, notes)).toMatchObject([
      { reason: 'handler-failed', attempts: 5, error: { name: 'RetryLater' } },
    ]);
  });
});

describe('Reject', () => {
  it('leaves a dead letter at once', async () => {
    const world = new World();
    const { bus, runs } = await failing(world, () => new Reject('not ours'));
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10_000);
    expect(runs).toHaveLength(1);
    expect(await letters(bus, notes)).toMatchObject([
      { reason: 'rejected', attempts: 1, error: { name: 'Reject', message: 'not ours' } },
    ]);
  });
});
