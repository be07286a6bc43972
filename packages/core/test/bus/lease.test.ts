import { describe, expect, it } from 'vitest';
import { type ConsumeOptions, type HandlerContext, Reject } from '../../src/index.ts';
import { gate, invoices, letters, notes, Noted, range, Render, unavailable, warmUp, World } from './kit.ts';

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
        if (n < 0) return;
        runs.push(n);
        await act(n, context);
      },
    },
    options,
  );
  return { ...process, consumer, runs };
}

const LEASE = 10_000;

describe('a handler', () => {
  it('may outlive its lease many times over, beside an idle process', async () => {
    const world = new World({ leaseMs: LEASE });
    const stop = gate();
    const act = async (_n: number, { signal }: HandlerContext): Promise<void> => {
      await stop.opened;
      expect(signal.aborted).toBe(false);
    };
    const [one, two] = [await notesOf(world, act), await notesOf(world, act)];
    await one.bus.publish(Noted, { n: 1 });
    await world.time.advance(20 * LEASE);
    stop.open();
    await world.time.advance(100);
    expect([...one.runs, ...two.runs]).toEqual([1]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('keeps also what waits for a slot, and what waits for a copy to be stored', async () => {
    const world = new World({ leaseMs: LEASE });
    const stop = gate();
    const { bus, seam, runs } = await notesOf(
      world,
      (n, { attempt }) => {
        if (n === 0 && attempt === 1) throw new Error('no');
        return n > 1 ? undefined : stop.opened;
      },
      { concurrency: 1 },
    );
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    seam.refuse = ({ id }) => (id.includes('#') ? unavailable() : undefined);
    for (const n of range(4)) await bus.publish(Noted, { n });
    await world.time.advance(10 * LEASE);
    expect(world.queue(notes)).toMatchObject({ inFlight: 4, ready: 0 });
    seam.refuse = undefined;
    stop.open();
    await world.time.advance(LEASE);
    expect(runs).toEqual([0, 1, 2, 3, 0]);
  });

  it('is asked to be extended seldom: not before half of its lease', async () => {
    const world = new World({ leaseMs: LEASE });
    const { bus, seam } = await notesOf(world, () => new Promise(() => undefined));
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(LEASE / 2 - 500);
    expect(seam.extended).toEqual([]);
    await world.time.advance(10 * LEASE);
    expect(seam.extended.length).toBeGreaterThanOrEqual(10);
    expect(seam.extended.length).toBeLessThanOrEqual(25);
  });
});

const FAULTS = [
  [
    'cannot be renewed',
    (world: World, { seam }: Awaited<ReturnType<typeof notesOf>>) =>
      void ((seam.beforeExtend = () => Promise.reject(unavailable())), world),
  ],
  [
    'is never answered',
    (world: World, { seam }: Awaited<ReturnType<typeof notesOf>>) =>
      void ((seam.beforeExtend = () => new Promise(() => undefined)), world),
  ],
] as const;

describe('a lease that', () => {
  it.each(FAULTS)('%s aborts its handler within 5 s, and whatever it does then is dropped', async (_, fault) => {
    const world = new World({ leaseMs: LEASE });
    const stop = gate();
    let abortedAt = 0;
    const again: number[] = [];
    const one = await notesOf(world, async (n, { signal, send, redelivered }) => {
      if (redelivered) return void again.push(n);
      signal.addEventListener('abort', () => (abortedAt = world.time.now() - start));
      await stop.opened;
      send(invoices, Render, { n });
      if (n === 2) throw new Error('late');
      if (n === 3) throw new Reject('late');
    });
    await warmUp(() => one.bus.publish(Noted, { n: -1 }), world.time);
    const start = world.time.now();
    for (const n of [1, 2, 3]) await one.bus.publish(Noted, { n });
    await world.time.advance(10);
    fault(world, one);
    await world.time.advance(LEASE + 5_000);
    expect(abortedAt).toBeGreaterThanOrEqual(LEASE);
    expect(abortedAt).toBeLessThanOrEqual(LEASE + 5_000);
    expect(again.toSorted()).toEqual([1, 2, 3]);
    stop.open();
    one.seam.settlements.length = 0;
    const before = one.seam.sent.length;
    await world.time.advance(30_000);
    expect(one.seam.sent).toHaveLength(before);
    expect(one.seam.settlements).toEqual([]);
    expect(one.seen('handled').filter(({ outcome }) => outcome === 'dropped')).toHaveLength(3);
    expect(one.seen('lease-lost').reduce((sum, { count }) => sum + count, 0)).toBe(3);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
    expect(world.queue(invoices).ready).toBe(0);
    expect(one.consumer.health()).toMatchObject({ held: 0, running: 0 });
  });

  it('is found lost when it is asked about aborts its handler, with LEASE_LOST', async () => {
    const world = new World({ leaseMs: LEASE });
    let reason: unknown;
    const { bus, seam, seen } = await notesOf(world, (_n, { signal }) => {
      signal.addEventListener('abort', () => (reason = signal.reason));
      return new Promise(() => undefined);
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    const asking = gate();
    seam.beforeExtend = () => asking.opened;
    await world.time.advance(LEASE + 500);
    asking.open();
    await world.time.advance(100);
    expect(reason).toMatchObject({ code: 'LEASE_LOST' });
    expect(seen('lease-lost')).toMatchObject([{ queue: 'notes', count: 1, error: { code: 'LEASE_LOST' } }]);
  });

  it('that ran out is given back, so that no broker keeps it for a process that has given it up', async () => {
    const world = new World({ leaseMs: LEASE, limits: { settle: { count: 2 } } });
    const { bus, seam } = await notesOf(world, () => new Promise(() => undefined));
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    await world.time.advance(10);
    for (const n of [1, 2, 3]) await bus.publish(Noted, { n });
    await world.time.advance(10);
    seam.settlements.length = 0;
    seam.beforeExtend = () => Promise.reject(unavailable());
    await world.time.advance(LEASE + 2_500);
    expect(seam.settlements).toEqual([]);
    await world.time.advance(1_500);
    expect(seam.settlements.map(({ action }) => action)).toEqual(['release', 'release', 'release']);
  });

  it('ran out is asked about before an outcome goes to the broker', async () => {
    const world = new World({ leaseMs: LEASE, capabilities: { reject: 'none' } });
    const { bus, seam } = await notesOf(world, async (n) => {
      await new Promise<void>((resolve) => world.time.after(LEASE + 1_000, resolve));
      if (n === 2) throw new Reject('late');
    });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    for (const n of [1, 2]) await bus.publish(Noted, { n }, { id: `n${n}` });
    await world.time.advance(10);
    seam.beforeExtend = () => Promise.reject(unavailable());
    seam.settlements.length = 0;
    await world.time.advance(LEASE + 1_500);
    expect(seam.settlements).toEqual([]);
    expect(seam.sent.filter(({ id }) => id.includes('#'))).toEqual([]);
  });
});

describe('a connection that is cut', () => {
  it('aborts what runs at once, starts none of what waits, and drops their outcomes', async () => {
    const world = new World();
    let aborted = 0;
    const started: string[] = [];
    const { bus, driver, seam } = await notesOf(
      world,
      (n, { signal, redelivered }) => {
        started.push(`${n}${redelivered ? ' again' : ''}`);
        if (redelivered) return undefined;
        return new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => {
            aborted += 1;
            resolve();
          }),
        );
      },
      { concurrency: 2 },
    );
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    for (const n of range(8)) await bus.publish(Noted, { n });
    await world.time.advance(10);
    seam.settlements.length = 0;
    driver.connection.cut();
    expect(aborted).toBe(2);
    await world.time.advance(5_000);
    expect(started.filter((run) => !run.endsWith('again'))).toEqual(['0', '1']);
    expect(started.filter((run) => run.endsWith('again')).toSorted()).toEqual(range(8).map((n) => `${n} again`));
    expect(seam.settlements).toHaveLength(8);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('drops copies that were still on their way', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    const { bus, driver, seam, runs } = await notesOf(world, (_n, { redelivered }) => {
      if (!redelivered) throw new Reject('no');
    });
    seam.refuse = ({ id }) => (id.includes('#') ? unavailable() : undefined);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(1_000);
    driver.connection.cut();
    seam.refuse = undefined;
    await world.time.advance(30_000);
    expect(runs).toEqual([1, 1]);
    expect(seam.sent.filter(({ id }) => id.includes('#'))).toEqual([]);
    expect(await letters(bus, notes)).toEqual([]);
  });

  it('while an asynchronous codec reads starts none of what was lost', async () => {
    const world = new World();
    const reading = gate();
    const codec = {
      encode: (body: Uint8Array) => body,
      decode: async (body: Uint8Array) => (await reading.opened, body),
    };
    const { bus, driver } = world.process(undefined, { middleware: [{ name: 'slow', codec }] });
    const runs: boolean[] = [];
    await bus.consume(notes, { 'note.taken': (_data, { redelivered }) => void runs.push(redelivered) });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    driver.connection.cut();
    reading.open();
    await world.time.advance(10_000);
    expect(runs).toEqual([true]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('leaves the slot of a handler that goes on taken', async () => {
    const world = new World();
    const stop = gate();
    const { bus, driver, consumer } = await notesOf(
      world,
      (_n, { redelivered }) => (redelivered ? undefined : stop.opened),
      { concurrency: 2 },
    );
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    driver.connection.cut();
    await world.time.advance(5_000);
    expect(consumer.health()).toMatchObject({ running: 1, held: 0 });
    stop.open();
    await world.time.advance(10);
    expect(consumer.health()).toMatchObject({ running: 0, held: 0 });
  });
});
