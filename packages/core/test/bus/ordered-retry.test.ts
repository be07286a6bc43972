import { describe, expect, it } from 'vitest';
import { type HandlerContext, Reject } from '../../src/index.ts';
import { gate, ledger, letters, Paid, Placed, range, unavailable, warmUp, World } from './kit.ts';

type Order = { readonly key: string; readonly n: number };
interface Run {
  readonly run: string;
  readonly at: number;
}

/** Handles both types of `ledger`; `act` may throw or take its time. Runs are `key:n/attempt`, payments in capitals. */
async function ledgerOf(
  world: World,
  act: (name: string, context: HandlerContext) => unknown,
  options: Parameters<World['process']>[1] & { concurrency?: number; delaysMs?: number[] } = {},
) {
  const { concurrency = 16, delaysMs, ...bus } = options;
  const process = world.process(undefined, bus);
  const runs: Run[] = [];
  const start = world.time.now();
  const handle = (name: string, context: HandlerContext): unknown => {
    if (name.startsWith('warm')) return undefined;
    runs.push({ run: `${name}/${context.attempt}`, at: world.time.now() - start });
    return act(name, context);
  };
  const consumer = await process.bus.consume(
    ledger,
    {
      'order.placed': async ({ key, n }: Order, context) => void (await handle(`${key}:${n}`, context)),
      'order.paid': async ({ key, n }: Order, context) => void (await handle(`${key.toUpperCase()}:${n}`, context)),
    },
    { concurrency, ...(delaysMs === undefined ? {} : { retry: { delaysMs } }) },
  );
  let warm = 0;
  const open = (): Promise<void> =>
    warmUp(() => process.bus.publish(Placed, { key: `warm${warm++}`, n: 0 }), world.time);
  const place = (key: string, n: number): Promise<void> =>
    process.bus.publish(Placed, { key, n }, { id: `${key}-${n}` });
  const pay = (key: string, n: number): Promise<void> => process.bus.publish(Paid, { key, n });
  return { ...process, consumer, runs, open, place, pay, names: () => runs.map(({ run }) => run) };
}

const fails = (condition: boolean): void => {
  if (condition) throw new Error('no');
};

describe('a failed message', () => {
  it('is held with its schedule, counts its attempts and sends no copy', async () => {
    const world = new World();
    const { runs, open, place, seam, bus } = await ledgerOf(world, () => fails(true));
    await open();
    const start = runs.length;
    await place('a', 1);
    await world.time.advance(336_000);
    expect(runs.slice(start).map(({ run }) => run)).toEqual(['a:1/1', 'a:1/2', 'a:1/3', 'a:1/4', 'a:1/5']);
    const at = runs.map((run) => run.at);
    expect(at.map((time) => time - (at[0] ?? 0))).toEqual([0, 1_000, 6_000, 36_000, 336_000]);
    expect(seam.sent.filter(({ id }) => id.includes('#'))).toEqual([]);
    expect(await letters(bus, ledger)).toMatchObject([
      { id: 'a-1', reason: 'handler-failed', attempts: 5, topic: 'orders' },
    ]);
  });

  it('keeps its successors waiting while other keys flow', async () => {
    const world = new World();
    const { names, open, place } = await ledgerOf(world, (name, { attempt }) => fails(name === 'a:1' && attempt < 3));
    await open();
    for (const n of [1, 2, 3]) for (const key of ['a', 'b', 'c']) await place(key, n);
    await world.time.advance(500);
    expect(names().toSorted()).toEqual(['a:1/1', 'b:1/1', 'b:2/1', 'b:3/1', 'c:1/1', 'c:2/1', 'c:3/1']);
    await world.time.advance(5_499);
    expect(names().filter((run) => run.startsWith('a'))).toEqual(['a:1/1', 'a:1/2']);
    await world.time.advance(1);
    expect(names().filter((run) => run.startsWith('a'))).toEqual(['a:1/1', 'a:1/2', 'a:1/3', 'a:2/1', 'a:3/1']);
  });

  it('lets other keys flow also when it is the first that the consumer ever got', async () => {
    const world = new World();
    const { names, place } = await ledgerOf(world, (name) => fails(name === 'a:1'));
    await place('a', 1);
    for (const key of ['b', 'c', 'd']) await place(key, 1);
    await world.time.advance(500);
    expect(names().toSorted()).toEqual(['a:1/1', 'b:1/1', 'c:1/1', 'd:1/1']);
  });

  it.each(['key', 'one-process'] as const)(
    'keeps its schedule while another process waits, although it is the first, with ordering %s',
    async (ordering) => {
      const world = new World({ capabilities: { ordering } });
      const all: string[] = [];
      const act = (name: string, { attempt }: HandlerContext): void => {
        all.push(`${world.time.now() - start} ${name}/${attempt}`);
        fails(name === 'a:1' && attempt < 3);
      };
      const start = world.time.now();
      const one = await ledgerOf(world, act);
      await ledgerOf(world, act);
      await one.place('a', 1);
      await one.place('a', 2);
      await world.time.advance(10_000);
      expect(all).toEqual(['0 a:1/1', '1000 a:1/2', '6000 a:1/3', '6000 a:2/1']);
    },
  );

  it('holds back its key on its own topic only', async () => {
    const world = new World();
    const { names, open, place, pay } = await ledgerOf(world, (name) => fails(name === 'a:1'));
    await open();
    await place('a', 1);
    await place('a', 2);
    await pay('a', 1);
    await pay('a', 2);
    await world.time.advance(500);
    expect(names().toSorted()).toEqual(['A:1/1', 'A:2/1', 'a:1/1']);
  });

  it('takes no handler slot while it waits', async () => {
    const world = new World();
    const { names, open, place, consumer } = await ledgerOf(world, (name) => fails(name.startsWith('bad')), {
      concurrency: 1,
    });
    await open();
    for (const n of range(10)) await place(`bad${n}`, 1);
    for (const n of range(10)) await place(`good${n}`, 1);
    await world.time.advance(500);
    expect(names().filter((run) => run.startsWith('good'))).toHaveLength(10);
    expect(consumer.health()).toMatchObject({ running: 0, held: 10 });
  });

  it('gives way to its successors once it is dead, and not before its letter is stored', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    const { names, open, place, seam, bus } = await ledgerOf(world, (name) => {
      if (name === 'a:1') throw new Reject('never');
    });
    await open();
    seam.refuse = ({ target }) => ('lane' in target && target.lane === 'dead' ? unavailable() : undefined);
    await place('a', 1);
    await place('a', 2);
    await place('b', 1);
    await world.time.advance(20_000);
    expect(names()).toEqual(['a:1/1', 'b:1/1']);
    seam.refuse = undefined;
    await world.time.advance(10_000);
    expect(names()).toEqual(['a:1/1', 'b:1/1', 'a:2/1']);
    expect(await letters(bus, ledger)).toMatchObject([{ id: 'a-1', reason: 'rejected' }]);
  });

  it('gives way to its successors only after its acceptance was taken', async () => {
    const world = new World();
    const { names, open, place, seam } = await ledgerOf(world, () => undefined);
    await open();
    seam.refuseSettlement = unavailable;
    await place('a', 1);
    await place('a', 2);
    await world.time.advance(10_000);
    expect(names()).toEqual(['a:1/1']);
    seam.refuseSettlement = undefined;
    await world.time.advance(10_000);
    expect(names()).toEqual(['a:1/1', 'a:2/1']);
  });

  it('keeps its lease, and that of those behind it, for as long as it waits', async () => {
    const world = new World({ leaseMs: 10_000 });
    const all: string[] = [];
    const act = (name: string, { attempt, redelivered }: HandlerContext): void => {
      all.push(`${name}/${attempt}${redelivered ? ' again' : ''}`);
      fails(name === 'a:1' && attempt < 3);
    };
    const { open, place, seam } = await ledgerOf(world, act, { delaysMs: [60_000, 60_000] });
    await open();
    await place('a', 1);
    await place('a', 2);
    await world.time.advance(10);
    const other = await ledgerOf(world, act, { delaysMs: [60_000, 60_000] });
    await world.time.advance(130_000);
    expect(all).toEqual(['a:1/1', 'a:1/2', 'a:1/3', 'a:2/1']);
    expect(seam.extended.length + other.seam.extended.length).toBeGreaterThan(20);
  });
});

describe('a crash', () => {
  it('brings a held retry forward, attempt 1 again, and keeps the order', async () => {
    const world = new World();
    const first = await ledgerOf(world, (name) => fails(name === 'a:1'));
    await first.open();
    await first.place('a', 1);
    await first.place('a', 2);
    await world.time.advance(7_000);
    expect(first.names()).toEqual(['a:1/1', 'a:1/2', 'a:1/3']);
    first.kill();
    const redelivered: boolean[] = [];
    const second = await ledgerOf(world, (_, context) => void redelivered.push(context.redelivered));
    await world.time.advance(1_000);
    expect(second.names()).toEqual(['a:1/1', 'a:2/1']);
    expect(redelivered).toEqual([true, true]);
  });

  it('starts nothing of what was lost together', async () => {
    const world = new World();
    const all: string[] = [];
    const { open, place, driver, seen } = await ledgerOf(world, (name, { attempt, redelivered }) => {
      all.push(`${name}/${attempt}${redelivered ? ' again' : ''}`);
      fails(name === 'a:1' && !redelivered);
    });
    await open();
    for (const n of [1, 2, 3]) await place('a', n);
    await world.time.advance(500);
    driver.connection.cut();
    await world.time.advance(20_000);
    expect(all).toEqual(['a:1/1', 'a:1/1 again', 'a:2/1 again', 'a:3/1 again']);
    expect(seen('lease-lost')).toMatchObject([{ count: 3 }]);
  });

  it('gives back what is still its own behind what it lost', async () => {
    const world = new World({ leaseMs: 10_000 });
    const { open, place, seam, names, consumer } = await ledgerOf(world, (name, { redelivered }) =>
      fails(name === 'a:1' && !redelivered),
    );
    await open();
    await place('a', 1);
    await world.time.advance(4_500);
    for (const n of [2, 3]) await place('a', n);
    await world.time.advance(10);
    seam.beforeExtend = () => Promise.reject(unavailable());
    await world.time.advance(9_500);
    seam.beforeExtend = undefined;
    await world.time.advance(30_000);
    expect(names().filter((run) => !run.startsWith('a:1'))).toEqual(['a:2/1', 'a:3/1']);
    expect(names().at(-3)).toMatch(/^a:1/);
    expect(consumer.health()).toMatchObject({ held: 0, running: 0 });
  });

  it('leaves nothing to a process whose leases ran out', async () => {
    const world = new World({ leaseMs: 10_000 });
    const first = await ledgerOf(world, (name) => fails(name === 'a:1'));
    await first.open();
    for (const n of [1, 2, 3]) await first.place('a', n);
    await world.time.advance(7_000);
    first.kill();
    await world.time.advance(400_000);
    expect(first.names()).toEqual(['a:1/1', 'a:1/2', 'a:1/3']);
    expect(first.consumer.health()).toMatchObject({ held: 0, running: 0 });
  });

  it('of one process leaves the keys of another alone', async () => {
    const world = new World();
    const [one, two] = [await ledgerOf(world, () => undefined), await ledgerOf(world, () => undefined)];
    for (const n of range(40)) for (const key of ['a', 'b', 'c', 'd']) await one.place(key, n);
    one.kill();
    await world.time.advance(5_000);
    for (const key of ['a', 'b', 'c', 'd']) {
      const numbers = [...one.runs, ...two.runs].filter(({ run }) => run.startsWith(`${key}:`)).map(({ run }) => run);
      expect(new Set(numbers).size).toBe(40);
    }
  });
});

describe('order', () => {
  it('holds for 2,000 messages of 40 keys with failures and slow handlers', async () => {
    const world = new World();
    let seed = 7;
    const chance = (): number => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
    const running = new Set<string>();
    const overlaps: string[] = [];
    const succeeded = new Map<string, number[]>();
    const { place } = await ledgerOf(
      world,
      async (name, { attempt }) => {
        const [key = '', n] = name.split(':');
        if (running.has(key)) overlaps.push(name);
        running.add(key);
        if (chance() < 0.3) await new Promise<void>((resolve) => world.time.after(5, resolve));
        running.delete(key);
        fails(attempt < 4 && chance() < 0.1);
        succeeded.set(key, [...(succeeded.get(key) ?? []), Number(n)]);
      },
      { delaysMs: [20, 50, 100, 200] },
    );
    const publishes = range(50).flatMap((n) => range(40).map((key) => place(`k${key}`, n)));
    await Promise.all(publishes);
    await world.time.advance(60_000);
    expect(overlaps).toEqual([]);
    expect(succeeded.size).toBe(40);
    for (const numbers of succeeded.values()) expect(numbers).toEqual(range(50));
  });

  it.each(['key', 'one-process'] as const)('holds over two processes with ordering %s', async (ordering) => {
    const world = new World({ capabilities: { ordering } });
    const handled: string[] = [];
    const act = async (name: string, { attempt }: HandlerContext): Promise<void> => {
      fails(name.endsWith(':3') && attempt < 3);
      await Promise.resolve();
      handled.push(name);
    };
    const one = await ledgerOf(world, act, { delaysMs: [10, 10] });
    const two = await ledgerOf(world, act, { delaysMs: [10, 10] });
    for (const n of range(10)) for (const key of ['a', 'b', 'c']) await one.place(key, n);
    await world.time.advance(2_000);
    for (const key of ['a', 'b', 'c']) {
      expect(handled.filter((name) => name.startsWith(key))).toEqual(range(10).map((n) => `${key}:${n}`));
    }
    if (ordering === 'one-process') expect(Math.min(one.runs.length, two.runs.length)).toBe(0);
  });

  it('runs what a handler takes its time for before what came later, also behind a lost process', async () => {
    const world = new World({ capabilities: { ordering: 'one-process' } });
    const stop = gate();
    const first = await ledgerOf(world, () => stop.opened);
    await first.place('a', 1);
    await first.place('a', 2);
    await world.time.advance(100);
    first.kill();
    const second = await ledgerOf(world, () => undefined);
    await world.time.advance(1_000);
    stop.open();
    await world.time.advance(60_000);
    expect(first.names()).toEqual(['a:1/1']);
    expect(second.names()).toEqual(['a:1/1', 'a:2/1']);
  });
});

describe('a window full of failing keys', () => {
  it('stops receiving and reports degraded, then recovers and loses nothing', async () => {
    const world = new World();
    let healthy = false;
    const { names, open, place, bus, consumer, seen } = await ledgerOf(
      world,
      (name) => fails(!healthy && !name.startsWith('good')),
      { delaysMs: [60_000, 60_000, 60_000, 60_000] },
    );
    await open();
    for (const n of range(1_200)) void place(`bad${n}`, 1);
    await world.time.advance(2_000);
    await place('good', 1);
    await world.time.advance(2_000);
    expect(consumer.health()).toMatchObject({ status: 'degraded', held: 1_000, running: 0 });
    expect(bus.health().status).toBe('degraded');
    expect(world.queue(ledger)).toMatchObject({ ready: 201, inFlight: 1_000 });
    expect(names()).not.toContain('good:1/1');
    healthy = true;
    await world.time.advance(70_000);
    expect(consumer.health()).toMatchObject({ status: 'up', held: 0 });
    expect(new Set(names().map((run) => run.split('/')[0])).size).toBe(1_201);
    expect(world.queue(ledger)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
    expect(seen('consumer').map(({ status }) => status)).toEqual(['up', 'degraded', 'up']);
  });
});
