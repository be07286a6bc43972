import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Bus, defineEvent, defineQueue } from '../../src/index.ts';
import { cloudEvent, gate, never, range, unavailable, World } from './kit.ts';

const one = z.object({ n: z.number() });
const Known = defineEvent('known', one, { topic: 'news' });
const Newer = defineEvent('newer', one, { topic: 'news' });
const Elsewhere = defineEvent('elsewhere', one, { topic: 'news' });
/** Of a topic that only the newer process knows. */
const Sports = defineEvent('sports', one, { topic: 'sports' });
const oldDesk = defineQueue('desk', { handles: [Known] });
const newDesk = defineQueue('desk', { handles: [Known, Newer, Sports] });
const other = defineQueue('other', { handles: [Elsewhere] });

const Keyed = defineEvent('keyed', one, { topic: 'lines' }).keyedBy(() => 'k');
const NewerKeyed = defineEvent('newer-keyed', one, { topic: 'lines' }).keyedBy(() => 'k');
const oldLine = defineQueue('line', { handles: [Keyed], ordered: true });
const newLine = defineQueue('line', { handles: [Keyed, NewerKeyed], ordered: true });

const unfiltered = { capabilities: { filtersTypes: false } } as const;

/** The process of before the deploy: it has run for a while, so it takes several at once. */
async function oldWorker(world: World) {
  const process = world.process([oldDesk]);
  const handled: number[] = [];
  const consumer = await process.bus.consume(oldDesk, { known: ({ n }) => void handled.push(n) });
  for (const _ of range(20)) await process.bus.publish(Known, { n: -1 });
  await world.time.advance(100);
  handled.length = 0;
  return { ...process, consumer, handled };
}

async function newWorker(world: World) {
  const process = world.process([newDesk, other]);
  const handled: string[] = [];
  const see = (type: string, { n }: { readonly n: number }): void => void handled.push(`${type} ${n}`);
  await process.bus.consume(newDesk, {
    known: (data) => see('known', data),
    newer: (data) => see('newer', data),
    sports: (data) => see('sports', data),
  });
  return { ...process, handled };
}

const strange = (id: string, type: string) => cloudEvent('desk', { id, type, data: { n: 1 } });

describe('an unknown type on a broker without filters', () => {
  it('is kept where another process bound it, on whatever topic', async () => {
    const world = new World(unfiltered);
    const old = await oldWorker(world);
    const publisher = world.process([newDesk]);
    await publisher.bus.publish(Newer, { n: 1 });
    await publisher.bus.publish(Sports, { n: 2 });
    await world.time.advance(20_000);
    expect(old.seen('skipped')).toEqual([]);
    expect(new Set(old.seen('waits').map(({ type }) => type))).toEqual(new Set(['newer', 'sports']));
    await old.consumer.close();
    const fresh = await newWorker(world);
    await world.time.advance(6_000);
    expect(fresh.handled.toSorted()).toEqual(['newer 1', 'sports 2']);
  });

  it('is dropped where only another queue is bound to it', async () => {
    const world = new World(unfiltered);
    const old = await oldWorker(world);
    await world.process([other]).bus.publish(Elsewhere, { n: 1 });
    await world.time.advance(1_000);
    expect(old.seen('skipped')).toMatchObject([{ type: 'elsewhere', reason: 'unbound-type' }]);
    expect(old.seen('waits')).toEqual([]);
    expect(world.queue(oldDesk)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('is asked about once a batch, each type once, and not again for its copies', async () => {
    const world = new World(unfiltered);
    const old = await oldWorker(world);
    await world.process([newDesk, other]).bus.provision();
    const types = ['newer', 'elsewhere', 'newer', 'known', 'elsewhere', 'sports'];
    await world.raw().send(
      types.map((type, index) => strange(`m${index}`, type)),
      never,
    );
    await world.time.advance(30_000);
    expect(old.seam.asked).toEqual([['newer', 'elsewhere', 'sports']]);
    expect(old.seen('skipped').map(({ id }) => id)).toEqual(['m1', 'm4']);
    expect(old.handled).toEqual([1]);
  });

  it('is not asked about where the broker filters', async () => {
    const world = new World();
    const old = await oldWorker(world);
    old.seam.boundTypes = () => Promise.resolve([]);
    await world.raw().send([strange('x', 'newer')], never);
    await world.time.advance(1_000);
    expect(old.seen('skipped')).toEqual([]);
    expect(old.seen('waits')).toMatchObject([{ id: 'x' }]);
  });

  it('is dropped where the driver cannot tell', async () => {
    const world = new World(unfiltered);
    const old = await oldWorker(world);
    delete old.seam.boundTypes;
    await world.process([newDesk]).bus.publish(Newer, { n: 1 });
    await world.time.advance(1_000);
    expect(old.seen('skipped')).toMatchObject([{ type: 'newer', reason: 'unbound-type' }]);
  });
});

describe('while the broker is asked', () => {
  it.each([
    ['fails', () => Promise.reject(unavailable())],
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
  ])('a call that %s loses nothing', async (_how, call) => {
    const world = new World(unfiltered);
    const old = await oldWorker(world);
    old.seam.boundTypes = call;
    await world.process([newDesk]).bus.publish(Newer, { n: 1 });
    await world.time.advance(1_000);
    expect(old.seen('skipped')).toEqual([]);
    await old.consumer.close();
    const fresh = await newWorker(world);
    await world.time.advance(6_000);
    expect(fresh.handled).toEqual(['newer 1']);
  });

  it('a call that never ends holds up nothing for longer than 10 s, and loses nothing', async () => {
    const world = new World(unfiltered);
    const old = await oldWorker(world);
    old.seam.beforeBoundTypes = () => new Promise(() => undefined);
    const publisher = world.process([newDesk]);
    await publisher.bus.publish(Newer, { n: 1 });
    await world.until(() => old.seam.asked.length === 1);
    await publisher.bus.publish(Known, { n: 2 });
    await world.time.advance(9_900);
    expect(old.handled).toEqual([]);
    await world.time.advance(200);
    expect(old.handled).toEqual([2]);
    expect(old.seen('skipped')).toEqual([]);
    expect(old.seen('waits')).toMatchObject([{ type: 'newer' }]);
  });

  it('what came with it and behind it waits, and keeps its order', async () => {
    const world = new World(unfiltered);
    const { bus, seam } = world.process([oldLine]);
    const handled: number[] = [];
    await bus.consume(oldLine, { keyed: ({ n }) => void handled.push(n) });
    for (const _ of range(20)) await bus.publish(Keyed, { n: -1 });
    await world.time.advance(100);
    handled.length = 0;
    const answer = gate();
    seam.beforeBoundTypes = () => answer.opened;
    const publisher = world.process([newLine]);
    await Promise.all([
      publisher.bus.publish(Keyed, { n: 1 }),
      publisher.bus.publish(NewerKeyed, { n: 2 }),
      publisher.bus.publish(Keyed, { n: 3 }),
      world.until(() => seam.asked.length === 1),
    ]);
    await publisher.bus.publish(Keyed, { n: 4 });
    await world.time.advance(5_000);
    expect(handled).toEqual([]);
    answer.open();
    await world.time.advance(100);
    expect(handled).toEqual([1, 3, 4]);
    expect(world.queue(oldLine)).toMatchObject({ inFlight: 1, dead: 0 });
  });

  it.each([
    [
      'unordered',
      oldDesk,
      (bus: Bus) => bus.consume(oldDesk, { known: () => undefined }),
      (bus: Bus) => bus.publish(Newer, { n: 1 }),
    ],
    [
      'ordered',
      oldLine,
      (bus: Bus) => bus.consume(oldLine, { keyed: () => undefined }),
      (bus: Bus) => bus.publish(NewerKeyed, { n: 1 }),
    ],
  ] as const)('a close of an %s consumer ends, and gives it back', async (_kind, queue, consume, publish) => {
    const world = new World(unfiltered);
    const old = world.process([oldDesk, oldLine]);
    const consumer = await consume(old.bus);
    const answer = gate();
    old.seam.beforeBoundTypes = () => answer.opened;
    await publish(world.process([newDesk, newLine]).bus);
    await world.until(() => old.seam.asked.length === 1);
    const closing = consumer.close({ deadlineMs: 2_000 });
    await world.time.advance(2_000);
    await closing;
    answer.open();
    await world.time.advance(11_000);
    expect(world.queue(queue)).toEqual({ ready: 1, inFlight: 0, delayed: 0, dead: 0 });
    expect(old.seam.settlements.filter(({ action }) => action !== 'release')).toEqual([]);
    expect(old.seam.settlements.length).toBeLessThanOrEqual(1);
  });

  it('an answer during a close gives everything back once', async () => {
    const world = new World(unfiltered);
    const old = await oldWorker(world);
    const answer = gate();
    old.seam.beforeBoundTypes = () => answer.opened;
    await world.process([newDesk]).bus.publish(Newer, { n: 1 });
    await world.until(() => old.seam.asked.length === 1);
    old.seam.settlements.length = 0;
    const settling = gate();
    old.seam.beforeSettle = () => settling.opened;
    const closing = old.consumer.close();
    await world.time.advance(100);
    answer.open();
    await world.time.advance(100);
    settling.open();
    await world.time.advance(100);
    await closing;
    expect(old.seam.settlements.map(({ action }) => action)).toEqual(['release']);
    expect(world.queue(oldDesk)).toEqual({ ready: 1, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('what is lost meanwhile is left alone', async () => {
    const world = new World(unfiltered);
    const old = await oldWorker(world);
    const first = gate();
    old.seam.beforeBoundTypes = () => (old.seam.asked.length === 1 ? first.opened : undefined);
    await world.process([other]).bus.publish(Elsewhere, { n: 1 });
    await world.until(() => old.seam.asked.length === 1);
    old.seam.settlements.length = 0;
    old.driver.connection.cut();
    first.open();
    await world.time.advance(10_000);
    expect(old.seen('lease-lost')).toMatchObject([{ count: 1 }]);
    expect(old.seam.asked).toHaveLength(2);
    expect(old.seen('skipped')).toHaveLength(1);
    expect(old.seam.settlements).toMatchObject([{ action: 'accept', delivery: { deliveries: 2 } }]);
  });
});
