import { describe, expect, it } from 'vitest';
import type { MemoryOptions } from '@waybill/memory';
import { z } from 'zod';
import {
  type ConsumeOptions,
  type DeadReason,
  defineEvent,
  defineQueue,
  type HandlerContext,
  Reject,
} from '../../src/index.ts';
import {
  bookkeepingOf,
  cloudEvent,
  foreign,
  invoices,
  letters,
  never,
  notes,
  Noted,
  range,
  Render,
  unavailable,
  warmUp,
  World,
} from './kit.ts';

const REJECTS: readonly MemoryOptions[] = [
  { capabilities: { reject: 'annotated' } },
  { capabilities: { reject: 'bare' } },
  { capabilities: { reject: 'none' } },
];
const nameOf = ({ capabilities }: MemoryOptions): string => capabilities?.reject ?? '';
const CEILING = 64 * 1024;
const ROOM = 8 * 1024;

async function notesOf(
  world: World,
  act: (n: number, context: HandlerContext) => unknown,
  options: ConsumeOptions = {},
) {
  const process = world.process();
  const runs: number[] = [];
  const consumer = await process.bus.consume(
    notes,
    {
      'note.taken': async ({ n }, context) => {
        if (n >= 0) runs.push(n);
        await act(n, context);
      },
    },
    options,
  );
  return { ...process, consumer, runs };
}

const rejecting = (): never => {
  throw new Reject('not ours');
};

describe.each(REJECTS.map((options) => [nameOf(options), options] as const))(
  'a dead letter, reject %s',
  (_, options) => {
    it('says why, when, how often and where from', async () => {
      const world = new World(options);
      const { bus } = await notesOf(
        world,
        () => {
          throw new RangeError('too far');
        },
        { retry: { delaysMs: [1_000] } },
      );
      const start = world.time.now();
      await bus.publish(Noted, { n: 1, text: 'ä' }, { id: 'a' });
      await world.time.advance(5_000);
      const [letter, ...others] = await letters(bus, notes);
      expect(others).toEqual([]);
      expect(letter).toMatchObject({
        id: 'a',
        type: 'note.taken',
        reason: 'handler-failed',
        attempts: 2,
        queue: 'notes',
        topic: 'notes',
        redrives: 0,
        firstFailedAt: start,
        deadAt: start + 1_000,
        error: { name: 'RangeError', message: 'too far' },
        message: { type: 'note.taken', data: { n: 1, text: 'ä' }, metadata: { id: 'a', source: '/test' } },
      });
      expect(letter?.error?.stack).toContain('too far');
      expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 1 });
    });

    it('has no topic where it was sent to the queue', async () => {
      const world = new World(options);
      const { bus } = world.process();
      await bus.consume(invoices, { 'invoice.render': rejecting });
      await bus.send(invoices, Render, { n: 1 });
      await world.time.advance(10);
      const [letter] = await letters(bus, invoices);
      expect(letter).toMatchObject({ reason: 'rejected', queue: 'invoices' });
      expect(letter).not.toHaveProperty('topic');
    });

    it('has its reason: undecodable, invalid, rejected, timed-out, handler-failed', async () => {
      const world = new World(options);
      const { bus } = await notesOf(
        world,
        (n, { signal }) => {
          if (n === 1) throw new Reject('no');
          if (n === 2) throw new Error('no');
          return new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason as Error)),
          );
        },
        { retry: { delaysMs: [] }, timeoutMs: 1_000 },
      );
      for (const n of [1, 2, 3]) await bus.publish(Noted, { n }, { id: `n${n}` });
      await world.raw().send(
        [
          foreign('notes', 'no-envelope'),
          foreign('notes', 'bad-json', { contentType: 'application/cloudevents+json' }),
          foreign('notes', 'no-object', {
            contentType: 'application/cloudevents+json',
            body: new TextEncoder().encode('[1]'),
          }),
          foreign('notes', 'empty', { contentType: 'application/cloudevents+json', body: new Uint8Array(0) }),
          foreign('notes', 'not-utf8', {
            contentType: 'application/cloudevents+json',
            body: new Uint8Array([0xff, 0xfe]),
          }),
          cloudEvent('notes', { id: 'no-source', source: undefined }),
          cloudEvent('notes', { id: 'wrong-version', specversion: '0.3' }),
          cloudEvent('notes', { id: 'unfit', data: { n: 'text' } }),
          cloudEvent('notes', { id: 'no-data' }),
        ],
        never,
      );
      await world.time.advance(60_000);
      const reasons = (await letters(bus, notes)).map(({ reason }) => reason).toSorted();
      expect(reasons).toEqual([
        'handler-failed',
        'invalid',
        'invalid',
        'rejected',
        'timed-out',
        'undecodable',
        'undecodable',
        'undecodable',
        'undecodable',
        'undecodable',
        'undecodable',
        'undecodable',
      ]);
      expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0, delayed: 0 });
    });

    it('of a message without an envelope has an id of its own and its bytes', async () => {
      const world = new World(options);
      const { bus, runs } = await notesOf(world, () => undefined);
      const bodies = range(3).map((n) => new Uint8Array([0xff, n]));
      await world.raw().send(
        bodies.map((body, n) => foreign('notes', `f${n}`, { body, headers: { other: 'kept' } })),
        never,
      );
      await world.time.advance(100);
      const found = await letters(bus, notes);
      expect(found.map(({ delivery }) => delivery.body)).toEqual(bodies);
      expect(found.map(({ delivery }) => delivery.headers['other'])).toEqual(['kept', 'kept', 'kept']);
      expect(new Set(found.map(({ id }) => id)).size).toBe(3);
      expect(found.every((letter) => !('message' in letter) && letter.error?.message !== '')).toBe(true);
      expect(await letters(bus, notes)).toEqual(found);
      expect(runs).toEqual([]);
    });

    it('keeps bytes and headers as they were', async () => {
      const world = new World(options);
      const { bus, seam } = await notesOf(world, rejecting);
      await bus.publish(Noted, { n: 1, text: '😀\u0000\u2028' });
      await world.time.advance(100);
      const [letter] = await letters(bus, notes);
      expect(letter?.delivery.body).toEqual(seam.sent[0]?.body);
      expect(letter?.delivery.contentType).toBe(seam.sent[0]?.contentType);
    });

    it('fits also for a message of exactly the largest size with an error of 64 KiB of emoji', async () => {
      const world = new World({ capabilities: { ...options.capabilities, maxMessageBytes: CEILING } });
      const { bus, seam } = await notesOf(
        world,
        () => {
          throw Object.assign(new Error('😀'.repeat(16_384)), {
            name: '😀'.repeat(1_000),
            stack: '😀"\\'.repeat(16_384),
          });
        },
        { retry: { delaysMs: [10] } },
      );
      const size = await largest(world, (text) => bus.publish(Noted, { n: 1, text }));
      await world.time.advance(1_000);
      seam.sent.length = 0;
      await bus.publish(Noted, { n: 2, text: 'x'.repeat(size) });
      await world.time.advance(1_000);
      const found = (await letters(bus, notes)).filter(({ message }) => (message?.data as { n: number }).n === 2);
      expect(found).toHaveLength(1);
      expect(found[0]).toMatchObject({ reason: 'handler-failed', attempts: 2 });
      expect(found[0]?.error?.message).toMatch(/^(😀)+/u);
      expect(found[0]?.error?.stack).toMatch(/^😀/u);
      expect(found[0]?.delivery.headers['waybill']?.length).toBeLessThanOrEqual(4 * 1024);
      expect(found[0]?.delivery.body).toEqual(seam.sent[0]?.body);
    });

    it("is stored also for a foreign message at the broker's own limit", async () => {
      const world = new World({ capabilities: { ...options.capabilities, maxMessageBytes: CEILING } });
      const { bus } = await notesOf(world, rejecting);
      const empty = cloudEvent('notes', { id: 'full', data: { n: 1, text: '' } }).body.length;
      const body = cloudEvent('notes', { id: 'full', data: { n: 1, text: 'x'.repeat(CEILING - empty) } }).body;
      await bus.publish(Noted, { n: 0 });
      await world.raw().send([cloudEvent('notes', {}, { body })], never);
      await world.time.advance(10_000);
      const found = (await letters(bus, notes)).find(({ id }) => id === 'full');
      expect(found?.delivery.body).toEqual(body);
      expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0, delayed: 0 });
    });

    it('of a foreign message at the limit that fails, instead of a retry that cannot be stored', async () => {
      const world = new World({ capabilities: { ...options.capabilities, maxMessageBytes: CEILING } });
      const { bus, runs } = await notesOf(world, () => {
        throw new Error('no');
      });
      const empty = cloudEvent('notes', { id: 'full', data: { n: 1, text: '' } }).body.length;
      await bus.publish(Noted, { n: 0 });
      await world
        .raw()
        .send(
          [
            cloudEvent(
              'notes',
              {},
              { body: cloudEvent('notes', { id: 'full', data: { n: 1, text: 'x'.repeat(CEILING - empty) } }).body },
            ),
          ],
          never,
        );
      await world.time.advance(500);
      expect(runs.filter((n) => n === 1)).toHaveLength(1);
      expect((await letters(bus, notes)).map(({ id }) => id)).toEqual(['full']);
    });

    it('is stored once for each of two messages at the same time, and once more at most for a repeated one', async () => {
      const world = new World(options);
      const { bus, seam } = await notesOf(world, rejecting);
      const settle = { fail: true };
      seam.refuseSettlement = () => (settle.fail ? unavailable() : undefined);
      await bus.publish(Noted, { n: 1 }, { id: 'a' });
      await world.time.advance(3_000);
      settle.fail = false;
      await world.time.advance(10_000);
      expect((await letters(bus, notes)).map(({ id }) => id)).toEqual(['a']);
      expect(world.queue(notes).dead).toBe(1);
    });

    it('is listed once when a crash stored it twice', async () => {
      const world = new World(options);
      const first = await notesOf(world, rejecting);
      await first.bus.publish(Noted, { n: 1 }, { id: 'a' });
      first.seam.afterSend = (batch) => {
        if (batch.some(({ target }) => 'lane' in target && target.lane === 'dead')) first.kill();
      };
      await world.time.advance(1_000);
      const second = await notesOf(world, rejecting);
      await world.time.advance(1_000);
      expect((await letters(second.bus, notes)).map(({ id }) => id)).toEqual(['a']);
      expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
      expect(world.queue(notes).dead).toBeLessThanOrEqual(2);
    });
  },
);

describe('while the dead lane takes nothing', () => {
  it.each(REJECTS.map((options) => [nameOf(options), options] as const))(
    'good messages flow, nothing runs again, the source stays unsettled, none is reported a letter, reject %s',
    async (_, options) => {
      const world = new World(options);
      const { bus, seam, runs, seen } = await notesOf(
        world,
        (n, { attempt }) => {
          if (n >= 100 && n < 120) throw new Reject('no');
          if (n >= 200 && attempt === 1) throw new Error('no');
        },
        { concurrency: 16 },
      );
      await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
      seam.refuse = ({ target, notBefore }) =>
        ('lane' in target && target.lane === 'dead') || notBefore !== undefined ? unavailable() : undefined;
      seam.refuseSettlement = ({ action }) => (action === 'reject' ? unavailable() : undefined);
      const numbers = [...range(20).flatMap((n) => [100 + n, 200 + n]), ...range(80)];
      for (const n of numbers) await bus.publish(Noted, { n });
      await world.time.advance(20_000);
      expect(runs.filter((n) => n < 100)).toHaveLength(80 - 0);
      expect(runs.filter((n) => n >= 100)).toHaveLength(40);
      expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 40, delayed: 0, dead: 0 });
      const reported = (): number => seen('dead-lettered').length;
      expect(reported()).toBe(0);
      seam.refuse = undefined;
      seam.refuseSettlement = undefined;
      await world.time.advance(20_000);
      expect(reported()).toBe(20);
      expect(runs).toHaveLength(80 + 20 + 40);
      expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 20 });
      const found = await letters(bus, notes);
      expect(new Set(found.map(({ id }) => id)).size).toBe(20);
    },
  );

  it('good messages flow also when the first message of all is the one', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    const { bus, seam, runs } = await notesOf(world, (n) => {
      if (n === 0) throw new Reject('no');
    });
    seam.refuse = ({ target }) => ('lane' in target && target.lane === 'dead' ? unavailable() : undefined);
    for (const n of range(5)) await bus.publish(Noted, { n });
    await world.time.advance(20_000);
    expect(runs).toEqual(range(5));
  });

  it('a process that dies leaves the message to the next', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    const first = await notesOf(world, rejecting);
    first.seam.refuse = ({ id }) => (id.includes('#') ? unavailable() : undefined);
    await first.bus.publish(Noted, { n: 1 }, { id: 'a' });
    await world.time.advance(20_000);
    expect(world.queue(notes)).toMatchObject({ inFlight: 1, dead: 0 });
    first.kill();
    const second = await notesOf(world, rejecting);
    await world.time.advance(1_000);
    expect(await letters(second.bus, notes)).toMatchObject([{ id: 'a', reason: 'rejected' }]);
  });
});

describe('skip', () => {
  it('drops what it names and keeps the rest', async () => {
    const world = new World();
    const skip: readonly DeadReason[] = ['rejected', 'undecodable'];
    const { bus, seen } = await notesOf(
      world,
      (n) => {
        throw n === 1 ? new Reject('no') : new Error('no');
      },
      { skip, retry: { delaysMs: [] } },
    );
    for (const n of [1, 2]) await bus.publish(Noted, { n }, { id: `n${n}` });
    await world.raw().send([foreign('notes', 'junk')], never);
    await world.time.advance(100);
    expect((await letters(bus, notes)).map(({ id }) => id)).toEqual(['n2']);
    expect(
      seen('skipped')
        .map(({ reason }) => reason)
        .toSorted(),
    ).toEqual(['rejected', 'undecodable']);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 1 });
  });
});

describe('data that does not fit', () => {
  const Grown = defineEvent('note.grown', z.object({ n: z.number() }), { topic: 'grown' }).evolve(
    z.object({ n: z.number(), lang: z.string() }),
    ({ n }) => {
      if (n === 13) throw new Error('unlucky');
      return { n, lang: n === 14 ? (undefined as never) : 'en' };
    },
  );
  const grown = defineQueue('grown', { handles: [Grown] });

  it('is invalid also when an upcast throws or makes it so, or a schema throws', async () => {
    const world = new World();
    const Odd = defineEvent(
      'note.odd',
      z.object({
        n: z.number().refine((n) => {
          if (n === 1) throw new Error('schema broke');
          return true;
        }),
      }),
      { topic: 'odd' },
    );
    const odd = defineQueue('odd', { handles: [Odd] });
    const { bus } = world.process([grown, odd]);
    const handled: unknown[] = [];
    await bus.consume(grown, { 'note.grown': (data) => void handled.push(data) });
    await bus.consume(odd, { 'note.odd': (data) => void handled.push(data) });
    await world
      .raw()
      .send(
        [
          cloudEvent('grown', { id: 'ok', type: 'note.grown', dataversion: 1, data: { n: 1 } }),
          cloudEvent('grown', { id: 'throws', type: 'note.grown', dataversion: 1, data: { n: 13 } }),
          cloudEvent('grown', { id: 'unfit', type: 'note.grown', dataversion: 1, data: { n: 14 } }),
          cloudEvent('odd', { id: 'schema', type: 'note.odd', data: { n: 1 } }),
        ],
        never,
      );
    await world.time.advance(10_000);
    expect(handled).toEqual([{ n: 1, lang: 'en' }]);
    expect((await letters(bus, grown)).map(({ id, reason }) => [id, reason])).toEqual([
      ['throws', 'invalid'],
      ['unfit', 'invalid'],
    ]);
    expect((await letters(bus, odd)).map(({ id, reason }) => [id, reason])).toEqual([['schema', 'invalid']]);
  });

  it('is no reason to run its handler', async () => {
    const world = new World();
    const { bus, runs } = await notesOf(world, () => undefined);
    await bus.publish(Noted, { n: 1 });
    await world.raw().send([cloudEvent('notes', { id: 'unfit', data: { n: 'x' } })], never);
    await world.time.advance(100);
    expect(runs).toEqual([1]);
    expect(await letters(bus, notes)).toMatchObject([
      { id: 'unfit', reason: 'invalid', attempts: 1, error: { name: 'WaybillError' } },
    ]);
  });
});

describe('the bookkeeping of a letter', () => {
  it('names the queue as the application does, with a prefix on the broker', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    const { bus, seam } = world.process([notes], { prefix: 'staging' });
    await bus.consume(notes, { 'note.taken': rejecting });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    const copy = seam.sent.find(({ id }) => id.endsWith('#d'));
    expect(copy?.target).toEqual({ queue: 'staging.notes', lane: 'dead' });
    expect(copy === undefined ? {} : bookkeepingOf(copy)).toMatchObject({ queue: 'notes', topic: 'notes' });
  });
});

/** The longest text that can still be published. */
async function largest(_world: World, publish: (text: string) => Promise<void>): Promise<number> {
  let [low, high] = [CEILING - 2 * ROOM, CEILING];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const fits = await publish('x'.repeat(middle)).then(
      () => true,
      (error: { code: string }) => {
        expect(error.code).toBe('TOO_LARGE');
        return false;
      },
    );
    if (fits) low = middle;
    else high = middle - 1;
  }
  return low;
}
