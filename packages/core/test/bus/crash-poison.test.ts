import { Reject } from '../../src/index.ts';
import type { MemoryOptions } from '@waybill/memory';
import { describe, expect, it } from 'vitest';
import type { Process } from './kit.ts';
import { gate, ledger, letters, never, notes, Noted, Paid, Placed, range, unavailable, warmUp, World } from './kit.ts';

interface Crew {
  /** Keeps `size` processes alive on `notes`: a poisonous handler kills its process, another starts 500 ms later. */
  readonly run: (size: number) => Promise<void>;
  readonly handled: Map<number, number>;
  readonly attempts: Set<number>;
  kills: number;
  alive: Process[];
}

function crewOf(world: World, poison: (n: number) => boolean, concurrency = 32): Crew {
  const crew: Crew = { run, handled: new Map(), attempts: new Set(), kills: 0, alive: [] };
  async function start(): Promise<void> {
    const process = world.process([notes]);
    crew.alive.push(process);
    await process.bus.consume(
      notes,
      {
        'note.taken': async ({ n }, { attempt }) => {
          if (!crew.alive.includes(process)) return new Promise(() => undefined);
          if (poison(n)) {
            crew.kills += 1;
            crew.alive = crew.alive.filter((other) => other !== process);
            process.kill();
            world.time.after(500, () => void start());
            return new Promise(() => undefined);
          }
          await new Promise<void>((resolve) => world.time.after(20, resolve));
          if (!crew.alive.includes(process)) return new Promise(() => undefined);
          crew.handled.set(n, (crew.handled.get(n) ?? 0) + 1);
          crew.attempts.add(attempt);
        },
      },
      { concurrency },
    );
  }
  async function run(size: number): Promise<void> {
    for (let count = 0; count < size; count += 1) await start();
  }
  return crew;
}

const BROKERS: readonly (readonly [string, MemoryOptions])[] = [
  ['leases of 10 s', { leaseMs: 10_000 }],
  ['leases without a clock', { leaseMs: Number.POSITIVE_INFINITY }],
  ['no reject', { capabilities: { reject: 'none' } }],
  ['a delivery limit of 10', { capabilities: { maxDeliveries: 10 } }],
];

describe.each(BROKERS)('a message that kills its process, %s', (_, options) => {
  it('is a dead letter, crash-loop, within 12 kills, and no innocent dies or counts an attempt', async () => {
    const world = new World(options);
    const publisher = world.process([notes]);
    await publisher.bus.provision();
    for (const n of range(500)) void publisher.bus.publish(Noted, { n }, { id: `n${n}` });
    await world.time.advance(10);
    const crew = crewOf(world, (n) => n === 137);
    await crew.run(3);
    let quiet = 0;
    for (let window = 0; window < 10; window += 1) {
      const before = crew.handled.size;
      await world.time.advance(30_000);
      if (crew.handled.size === before && crew.handled.size < 499) quiet += 1;
    }
    expect(quiet).toBe(0);
    expect(await letters(publisher.bus, notes)).toMatchObject([
      { id: 'n137', reason: 'crash-loop', attempts: 1, topic: 'notes' },
    ]);
    expect(crew.handled.size).toBe(499);
    expect(crew.attempts).toEqual(new Set([1]));
    expect(crew.kills).toBeLessThanOrEqual(12);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 1 });
  });
});

describe('several messages that kill their process', () => {
  it('all end as dead letters, and no innocent does', async () => {
    const world = new World();
    const publisher = world.process([notes]);
    await publisher.bus.provision();
    for (const n of range(200)) void publisher.bus.publish(Noted, { n });
    await world.time.advance(10);
    const poisons = [0, 77, 78, 199];
    const crew = crewOf(world, (n) => poisons.includes(n));
    await crew.run(2);
    await world.time.advance(400_000);
    const dead = await letters(publisher.bus, notes);
    expect(dead.map(({ message }) => (message?.data as { n: number }).n).toSorted((a, b) => a - b)).toEqual(poisons);
    expect(dead.every(({ reason }) => reason === 'crash-loop')).toBe(true);
    expect(crew.handled.size).toBe(196);
    expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
  });
});

/** A delivery that was handed out `times` before, held back until the result is called. */
async function wornOut(
  world: World,
  queue: { readonly name: string; readonly ordered: boolean },
  times: number,
  messages = 1,
): Promise<() => Promise<void>> {
  const subscription = await world
    .raw()
    .subscribe({ ...queue, bindings: [] }, 'work', { maxInFlight: messages, onLost: () => undefined });
  let held = await subscription.receive(messages, never);
  for (let count = 1; count < times; count += 1) {
    await subscription.settle(held.map((delivery) => ({ delivery, action: 'release' })));
    held = await subscription.receive(messages, never);
  }
  return () => subscription.close(0);
}

describe('a consumer', () => {
  it.each([[true], [false]])(
    'opens with one at a time, until 20 were harmless, whether the broker has a prefetch or not: %s',
    async (prefetch) => {
      const world = new World();
      const { bus, seam } = world.process();
      seam.prefetch = prefetch;
      const held: number[] = [];
      seam.onReceived = () => held.push(world.queue(notes).inFlight);
      await bus.consume(
        notes,
        { 'note.taken': () => new Promise<void>((resolve) => world.time.after(10, resolve)) },
        { concurrency: 8 },
      );
      for (const n of range(60)) void bus.publish(Noted, { n });
      await world.time.advance(189);
      expect(held).toEqual(range(19).map(() => 1));
      expect(seam.resizes).toEqual([]);
      await world.time.advance(1_000);
      expect(seam.resizes).toEqual([32]);
      expect(Math.max(...held)).toBeGreaterThan(20);
      expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
    },
  );

  it('finishes what it holds before it runs a suspect, and runs that alone', async () => {
    const world = new World();
    const { bus, seen } = world.process();
    const log: string[] = [];
    let running = 0;
    const stop = gate();
    await bus.publish(Noted, { n: 99 });
    const giveBack = await wornOut(world, notes, 2);
    await bus.consume(notes, {
      'note.taken': async ({ n }) => {
        if (n < 0) return;
        running += 1;
        log.push(`start ${n} beside ${running - 1}`);
        if (n < 4) await stop.opened;
        log.push(`end ${n}`);
        running -= 1;
      },
    });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    for (const n of range(4)) await bus.publish(Noted, { n });
    await world.time.advance(10);
    await giveBack();
    await world.time.advance(10_000);
    expect(log).toEqual(range(4).map((n) => `start ${n} beside ${n}`));
    expect(seen('isolated')).toEqual([{ name: 'isolated', queue: 'notes', deliveries: 3 }]);
    stop.open();
    await world.time.advance(1_000);
    expect(log.slice(4).toSorted()).toEqual(
      ['end 0', 'end 1', 'end 2', 'end 3', 'end 99', 'start 99 beside 0'].toSorted(),
    );
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('judges what was handed out too often only while it holds nothing else', async () => {
    const world = new World();
    const { bus, seen } = world.process();
    const stop = gate();
    await bus.publish(Noted, { n: 99 }, { id: 'worn' });
    const giveBack = await wornOut(world, notes, 15);
    await bus.consume(notes, { 'note.taken': ({ n }) => (n < 0 ? undefined : stop.opened) });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    await giveBack();
    await world.time.advance(10_000);
    expect(seen('isolated')).toHaveLength(1);
    expect(await letters(bus, notes)).toEqual([]);
    stop.open();
    await world.time.advance(1_000);
    expect(await letters(bus, notes)).toMatchObject([{ id: 'worn', reason: 'crash-loop' }]);
  });

  it('comes out of an isolation after 20 harmless ones', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    await bus.publish(Noted, { n: 99 });
    const giveBack = await wornOut(world, notes, 4);
    await bus.consume(notes, { 'note.taken': () => undefined }, { concurrency: 4 });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    await giveBack();
    await world.time.advance(100);
    expect(seam.resizes).toEqual([16, 1]);
    for (const n of range(40)) await bus.publish(Noted, { n });
    await world.time.advance(1_000);
    expect(seam.resizes).toEqual([16, 1, 16]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('comes out of an isolation while the broker takes no rejects', async () => {
    const world = new World({ capabilities: { reject: 'annotated' } });
    const { bus, seam } = world.process();
    const handled: number[] = [];
    await bus.consume(notes, {
      'note.taken': ({ n }) => {
        if (n === 0) throw new Reject('no use for it');
        handled.push(n);
      },
    });
    seam.refuseSettlement = ({ action }) => (action === 'reject' ? unavailable() : undefined);
    for (const n of range(10)) await bus.publish(Noted, { n });
    await world.time.advance(15_000);
    expect(handled).toEqual(range(10).slice(1));
    seam.refuseSettlement = undefined;
    await world.time.advance(10_000);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 1 });
  });

  it('goes into an isolation, and on, while the broker takes no copies of what failed before', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    const { bus, seam } = world.process();
    const handled: number[] = [];
    await bus.publish(Noted, { n: 99 });
    const giveBack = await wornOut(world, notes, 4);
    await bus.consume(notes, {
      'note.taken': ({ n }) => {
        if (n === 1) throw new Reject('no use for it');
        handled.push(n);
      },
    });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    seam.refuse = ({ target }) => ('lane' in target && target.lane === 'dead' ? unavailable() : undefined);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    await giveBack();
    await world.time.advance(100);
    for (const n of range(40)) await bus.publish(Noted, { n: n + 2 });
    await world.time.advance(60_000);
    const good = range(40).map((n) => n + 2);
    expect(handled.filter((n) => n > 0).toSorted((a, b) => a - b)).toEqual(good);
    seam.refuse = undefined;
    await world.time.advance(30_000);
    expect(handled).toContain(99);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 1 });
  });

  it('stays isolated while each settlement takes its time, and condemns nobody by giving back', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    for (const n of range(30)) await bus.publish(Noted, { n });
    await (
      await wornOut(world, notes, 5, 30)
    )();
    seam.beforeSettle = () => new Promise((resolve) => void world.time.after(1_500, resolve));
    const handled: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) });
    await world.time.advance(120_000);
    expect(handled.toSorted((a, b) => a - b)).toEqual(range(30));
    expect(world.queue(notes)).toMatchObject({ ready: 0, dead: 0 });
  });

  it('releases no suspect as dead that was handed out often but harms nobody', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.publish(Noted, { n: 7 });
    await (
      await wornOut(world, notes, 9)
    )();
    const handled: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) });
    await world.time.advance(1_000);
    expect(handled).toEqual([7]);
    expect(world.queue(notes).dead).toBe(0);
  });

  it('gives a dead letter to what was handed out more than 10 times, without running it, also where nobody crashed here', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.publish(Noted, { n: 7 }, { id: 'a' });
    await (
      await wornOut(world, notes, 10)
    )();
    const handled: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) });
    await world.time.advance(1_000);
    expect(handled).toEqual([]);
    expect(await letters(bus, notes)).toMatchObject([{ id: 'a', reason: 'crash-loop' }]);
  });

  it('keeps order through an isolation, also of what failed while it began', async () => {
    const world = new World();
    const { bus, seen } = world.process();
    const log: string[] = [];
    const stop = gate();
    await bus.publish(Paid, { key: 'suspect', n: 1 });
    const giveBack = await wornOut(world, ledger, 4);
    await bus.consume(ledger, {
      'order.placed': async ({ key, n }, { attempt, redelivered }) => {
        if (key.startsWith('warm')) return;
        log.push(`${key}${n}/${attempt}${redelivered ? ' again' : ''}`);
        if (key === 'a' && n === 1 && !redelivered) {
          await stop.opened;
          throw new Error('no');
        }
      },
      'order.paid': ({ key }) => void log.push(key),
    });
    for (const n of range(20)) await bus.publish(Placed, { key: `warm${n}`, n: 0 });
    await world.time.advance(10);
    for (const n of [1, 2, 3]) await bus.publish(Placed, { key: 'a', n });
    await world.time.advance(10);
    await giveBack();
    await world.time.advance(1_000);
    expect(seen('isolated')).toHaveLength(1);
    stop.open();
    await world.time.advance(60_000);
    const own = log.filter((run) => run.startsWith('a'));
    expect(own).toEqual(['a1/1', 'a1/2 again', 'a2/1 again', 'a3/1 again']);
    expect(log).toContain('suspect');
    expect(world.queue(ledger)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('gets through an ordered backlog that is worn out, and counts on where others fail between', async () => {
    const world = new World();
    const { bus, seen } = world.process();
    const log: string[] = [];
    for (const n of range(60)) await bus.publish(Paid, { key: `worn${n}`, n });
    const giveBack = await wornOut(world, ledger, 3, 60);
    for (const n of range(5)) await bus.publish(Placed, { key: `failing${n}`, n });
    await bus.consume(
      ledger,
      {
        'order.placed': ({ key }, { attempt }) => {
          log.push(`${key}/${attempt}`);
          if (attempt < 4) throw new Error('no');
        },
        'order.paid': ({ key }) => void log.push(key),
      },
      { retry: { delaysMs: [100, 100, 100] } },
    );
    await world.time.advance(10);
    await giveBack();
    await world.time.advance(5_000);
    expect(world.queue(ledger)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
    expect(log.filter((run) => run.startsWith('failing')).toSorted()).toEqual(
      range(5).flatMap((n) => [1, 2, 3, 4].map((attempt) => `failing${n}/${attempt}`)),
    );
    expect(log.filter((run) => run.startsWith('worn')).toSorted()).toEqual(
      range(60)
        .map((n) => `worn${n}`)
        .toSorted(),
    );
    expect(seen('isolated').length).toBeLessThanOrEqual(1);
  });

  it('runs others of an ordered queue in isolation while a harmless one and its successor wait for its next attempt', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    const log: string[] = [];
    for (const n of range(2)) await bus.publish(Placed, { key: 'failing', n });
    for (const n of range(3)) await bus.publish(Placed, { key: `other${n}`, n });
    await bus.consume(
      ledger,
      {
        'order.placed': ({ key, n }, { attempt }) => {
          log.push(`${key} ${n}/${attempt}`);
          if (key === 'failing' && n === 0 && attempt === 1) throw new Error('no');
        },
        'order.paid': () => undefined,
      },
      { retry: { delaysMs: [1_000] } },
    );
    await world.time.advance(900);
    expect(log).toEqual(['failing 0/1', 'other0 0/1', 'other1 1/1', 'other2 2/1']);
    expect(Math.max(...seam.resizes)).toBeLessThanOrEqual(3);
    await world.time.advance(1_000);
    expect(log.slice(4)).toEqual(['failing 0/2', 'failing 1/1']);
    expect(world.queue(ledger)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('does not stall when what it held on the way into an isolation was lost', async () => {
    const world = new World();
    const { bus, seam, driver } = world.process();
    const handled: string[] = [];
    await bus.publish(Paid, { key: 'suspect', n: 1 });
    const giveBack = await wornOut(world, ledger, 4);
    await bus.consume(ledger, {
      'order.placed': ({ key }) => void handled.push(key),
      'order.paid': ({ key }) => void handled.push(key),
    });
    for (const n of range(20)) await bus.publish(Placed, { key: `warm${n}`, n: 0 });
    await world.time.advance(10);
    const settling = gate();
    seam.beforeSettle = () => settling.opened;
    await bus.publish(Placed, { key: 'slow', n: 1 });
    await world.time.advance(10);
    await giveBack();
    await world.time.advance(100);
    driver.connection.cut();
    settling.open();
    seam.beforeSettle = undefined;
    await world.time.advance(10_000);
    await bus.publish(Placed, { key: 'later', n: 1 });
    await world.time.advance(1_000);
    expect(handled).toContain('suspect');
    expect(handled).toContain('later');
    expect(world.queue(ledger)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });
});
