import { describe, expect, it, vi } from 'vitest';
import { type HandlerContext, Reject } from '../../src/index.ts';
import { freeze, gate, invoices, letters, notes, Noted, Render, unavailable, warmUp, World } from './kit.ts';

async function notesOf(world: World, act: (n: number, context: HandlerContext) => unknown) {
  const process = world.process();
  const runs: number[] = [];
  const consumer = await process.bus.consume(notes, {
    'note.taken': async ({ n }, context) => {
      if (n < 0) return;
      runs.push(n);
      await act(n, context);
    },
  });
  await warmUp(() => process.bus.publish(Noted, { n: -1 }), world.time);
  process.seam.settlements.length = 0;
  process.seam.sent.length = 0;
  return { ...process, consumer, runs };
}

const BROKERS = [
  ['leases of 10 s', { leaseMs: 10_000, capabilities: { reject: 'none' } }],
  ['leases without a clock', { leaseMs: Number.POSITIVE_INFINITY, capabilities: { reject: 'none' } }],
] as const;

describe.each(BROKERS)('a process that was frozen, %s', (_, options) => {
  it('asks whether what it holds is still its own before it settles or copies anything of it', async () => {
    const world = new World(options);
    const stop = gate();
    const { bus, seam, seen } = await notesOf(world, async (n) => {
      await stop.opened;
      if (n === 2) throw new Error('no');
      if (n === 3) throw new Reject('no');
    });
    for (const n of [1, 2, 3]) await bus.publish(Noted, { n }, { id: `n${n}` });
    await world.time.advance(10);
    const asking = gate();
    let asked = 0;
    seam.beforeExtend = () => {
      asked += 1;
      return asking.opened;
    };
    freeze(60_000);
    stop.open();
    await world.time.advance(10);
    expect(seen('frozen')).toEqual([{ name: 'frozen', frozenMs: 60_000 }]);
    expect(asked).toBeGreaterThanOrEqual(1);
    expect(seam.settlements).toEqual([]);
    expect(seam.sent.filter(({ id }) => id.includes('#'))).toEqual([]);
    asking.open();
    await world.time.advance(10);
    expect(seam.settlements.map(({ action }) => action)).toEqual(['accept', 'accept', 'accept']);
    expect(
      seam.sent
        .map(({ id }) => id)
        .filter((id) => id.includes('#'))
        .toSorted(),
    ).toEqual(['n2#a2', 'n3#d']);
  });

  it('drops what is no longer its own: no acceptance, no copy, no dead letter, no send', async () => {
    const world = new World(options);
    const stop = gate();
    const one = await notesOf(world, async (n, { send }) => {
      await stop.opened;
      send(invoices, Render, { n });
      if (n === 2) throw new Error('no');
      if (n === 3) throw new Reject('no');
    });
    for (const n of [1, 2, 3, 4]) await one.bus.publish(Noted, { n });
    await world.time.advance(10);
    // The broker's side of the freeze: everything goes to another process, and this one was not told.
    const spies = one.seam.subscriptions.map((subscription) =>
      vi.spyOn(subscription, 'extend').mockImplementation((deliveries) => Promise.resolve(deliveries.map(() => 0))),
    );
    freeze(60_000);
    stop.open();
    await world.time.advance(20);
    expect(one.seam.settlements).toEqual([]);
    expect(one.seam.sent.filter(({ id, target }) => id.includes('#') || 'queue' in target)).toEqual([]);
    expect(one.seen('lease-lost').reduce((sum, { count }) => sum + count, 0)).toBe(4);
    expect(one.consumer.health()).toMatchObject({ held: 0, running: 0 });
    for (const spy of spies) spy.mockRestore();
    await one.bus.publish(Noted, { n: 9 });
    await world.time.advance(10);
    expect(one.runs).toContain(9);
  });

  it('aborts what still runs and starts none of what waited, where it is no longer its own', async () => {
    const world = new World(options);
    const signals: AbortSignal[] = [];
    const one = await notesOf(world, (_n, { signal }) => (signals.push(signal), new Promise(() => undefined)));
    for (let n = 0; n < 30; n += 1) await one.bus.publish(Noted, { n });
    await world.time.advance(10);
    expect(one.runs).toHaveLength(16);
    for (const subscription of one.seam.subscriptions) {
      vi.spyOn(subscription, 'extend').mockImplementation((deliveries) => Promise.resolve(deliveries.map(() => 0)));
    }
    freeze(60_000);
    await one.bus.send(invoices, Render, { n: 1 });
    await world.time.advance(10);
    expect(signals.every((signal) => signal.aborted)).toBe(true);
    expect(one.runs).toHaveLength(16);
    expect(one.consumer.health()).toMatchObject({ held: 0, running: 16 });
  });

  it('drops copies that were queued before the freeze', async () => {
    const world = new World(options);
    const { bus, seam } = await notesOf(world, (_n, { redelivered }) => {
      if (!redelivered) throw new Reject('no');
    });
    seam.refuse = ({ id }) => (id.includes('#') ? unavailable() : undefined);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(5_000);
    for (const subscription of seam.subscriptions) {
      vi.spyOn(subscription, 'extend').mockImplementation((deliveries) => Promise.resolve(deliveries.map(() => 0)));
    }
    freeze(60_000);
    seam.refuse = undefined;
    await world.time.advance(30_000);
    expect(seam.sent.filter(({ id }) => id.includes('#'))).toEqual([]);
    expect(await letters(bus, notes)).toEqual([]);
  });

  it('closes without waiting for what it lost', async () => {
    const world = new World(options);
    const stop = gate();
    const { bus, seam } = await notesOf(world, () => stop.opened);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    const asking = gate();
    for (const subscription of seam.subscriptions) {
      vi.spyOn(subscription, 'extend').mockImplementation(
        async (deliveries) => (await asking.opened, deliveries.map(() => 0)),
      );
    }
    freeze(60_000);
    stop.open();
    await world.time.advance(10);
    let closed = false;
    void bus.close().then(() => (closed = true));
    await world.time.advance(10);
    asking.open();
    await world.time.advance(100);
    expect(closed).toBe(true);
  });
});

it('a process that is only busy for a moment asks nothing', async () => {
  const world = new World();
  const { bus, seam, seen } = await notesOf(world, () => undefined);
  freeze(1_000);
  await bus.publish(Noted, { n: 1 });
  await world.time.advance(100);
  expect(seen('frozen')).toEqual([]);
  expect(seam.extended).toEqual([]);
});
