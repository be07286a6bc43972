import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createBus, defineCommand, defineEvent, defineQueue } from '../../src/index.ts';
import { archive, EVERYTHING, invoices, ledger, notes, Noted, Placed, Render, World } from './kit.ts';

describe('createBus', () => {
  it('does no I/O: the broker may be down', async () => {
    const world = new World();
    world.broker.stop();
    const { bus, seam } = world.process();
    await world.time.advance(10_000);
    expect(seam.sent).toEqual([]);
    expect(seam.subscriptions).toEqual([]);
    expect(world.broker.queues.size).toBe(0);
    expect(bus.health()).toEqual({ status: 'up', driver: 'memory', consumers: [], publisher: { pending: 0 } });
  });

  it('lists every problem of its options at once', () => {
    const wrong = { source: '', driver: {}, uses: [], sendTimeoutMs: -1, nonsense: true };
    expect(() => createBus(wrong as never)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(/source.*driver.*uses.*sendTimeoutMs/s) as string,
      }) as Error,
    );
  });

  it('refuses what contradicts itself', () => {
    const world = new World();
    const twice = defineQueue('notes', { handles: [Noted] });
    const otherNoted = defineEvent('note.taken', z.object({}), { topic: 'notes' });
    const Do = defineCommand('do', z.object({}));
    const unkeyed = defineEvent('order.seen', z.object({}), { topic: 'orders' });
    for (const uses of [
      [notes, twice],
      [notes, otherNoted],
      [defineQueue('one', { handles: [Do] }), defineQueue('two', { handles: [Do] })],
      [ledger, unkeyed],
    ]) {
      expect(() => world.process(uses)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error);
    }
    expect(() => world.process([notes], { prefix: 'Not A Name' })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error,
    );
    expect(() => world.process([notes], { prefix: `${'p'.repeat(40)}.${'q'.repeat(20)}` })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error,
    );
  });
});

describe('topology', () => {
  it("follows from `uses`, by the broker's names", () => {
    const world = new World();
    const { bus } = world.process([...EVERYTHING], { prefix: 'staging' });
    expect(bus.topology()).toEqual({
      topics: [
        { name: 'staging.notes', keyed: false },
        { name: 'staging.orders', keyed: true },
        { name: 'staging.payments', keyed: true },
      ],
      queues: [
        {
          name: 'staging.notes',
          ordered: false,
          bindings: [{ topic: { name: 'staging.notes', keyed: false }, types: ['note.taken'] }],
        },
        {
          name: 'staging.archive',
          ordered: false,
          bindings: [{ topic: { name: 'staging.notes', keyed: false }, types: ['note.taken'] }],
        },
        {
          name: 'staging.ledger',
          ordered: true,
          bindings: [
            { topic: { name: 'staging.orders', keyed: true }, types: ['order.placed'] },
            { topic: { name: 'staging.payments', keyed: true }, types: ['order.paid'] },
          ],
        },
        { name: 'staging.invoices', ordered: false, bindings: [] },
      ],
    });
  });

  it('keeps two prefixes apart on one broker', async () => {
    const world = new World();
    const [one, two] = [world.process(undefined, { prefix: 'one' }), world.process(undefined, { prefix: 'two' })];
    await one.bus.publish(Noted, { n: 1 });
    await two.bus.publish(Noted, { n: 2 });
    const handled: number[] = [];
    await one.bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) });
    await world.time.advance(100);
    expect(handled).toEqual([1]);
  });
});

describe('provision', () => {
  it('makes what is missing, says what, and makes it once', async () => {
    const world = new World();
    const { bus } = world.process([notes, archive]);
    const made = await bus.provision();
    expect(made.join(' ')).toMatch(/topic "notes".*queue "notes".*queue "archive"/s);
    expect(await bus.provision()).toEqual([]);
    expect(await world.process([notes]).bus.provision()).toEqual([]);
  });

  it('to verify makes nothing and refuses with everything that is missing', async () => {
    const world = new World();
    const { bus } = world.process([notes, invoices]);
    await expect(bus.provision('verify')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringMatching(
        /Topic "notes".*Queue "notes".*Queue "invoices".*provision\('create'\)/s,
      ) as string,
    });
    expect(world.broker.queues.size).toBe(0);
    await bus.provision('create');
    expect(await bus.provision('verify')).toEqual([]);
  });

  it('creates nothing by itself in verify mode, and works once somebody did', async () => {
    const world = new World();
    const { bus } = world.process([invoices], { provision: 'verify' });
    await expect(bus.send(invoices, Render, { n: 1 })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await world.process([invoices]).bus.provision();
    await bus.send(invoices, Render, { n: 1 });
    expect(world.queue(invoices).ready).toBe(1);
  });

  it('refuses a difference and changes nothing', async () => {
    const world = new World();
    await world.process([notes]).bus.provision();
    const ordered = defineQueue('notes', { handles: [Placed], ordered: true });
    const { bus } = world.process([ordered, invoices]);
    await expect(bus.provision()).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('"notes"') as string,
    });
    expect(world.broker.queues.has('invoices')).toBe(false);
  });

  it('adds a binding that a newer version needs', async () => {
    const world = new World();
    await world.process([notes]).bus.provision();
    const Later = defineEvent('note.later', z.object({}), { topic: 'notes' });
    const more = defineQueue('notes', { handles: [Noted, Later] });
    const { bus } = world.process([more]);
    expect((await bus.provision()).join(' ')).toContain('note.later');
    await bus.publish(Later, {});
    expect(world.queue(notes).ready).toBe(1);
  });

  it('only verifies where the driver has no management rights', async () => {
    const world = new World();
    const { bus } = world.process([invoices], { memory: { admin: false } });
    await expect(bus.send(invoices, Render, { n: 1 })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await world.process([invoices]).bus.provision();
    await bus.send(invoices, Render, { n: 1 });
    expect(world.queue(invoices).ready).toBe(1);
  });

  it('rejects with UNAVAILABLE while the broker is down', async () => {
    const world = new World();
    const { bus } = world.process();
    world.broker.stop();
    await expect(bus.provision()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('health', () => {
  it('tells of each consumer and of the publisher', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.consume(notes, { 'note.taken': () => new Promise(() => undefined) });
    await bus.consume(invoices, { 'invoice.render': () => undefined });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    expect(bus.health()).toEqual({
      status: 'up',
      driver: 'memory',
      consumers: [
        { queue: 'notes', status: 'up', held: 1, running: 1 },
        { queue: 'invoices', status: 'up', held: 0, running: 0 },
      ],
      publisher: { pending: 0 },
    });
  });

  it('is degraded, not down, while the broker refuses what is sent', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.send(invoices, Render, { n: 1 });
    world.broker.queues.delete('invoices');
    await expect(bus.send(invoices, Render, { n: 2 })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(bus.health()).toMatchObject({ status: 'degraded', publisher: { pending: 0, error: { code: 'NOT_FOUND' } } });
    await bus.publish(Noted, { n: 1 });
    expect(bus.health().status).toBe('up');
  });
});
