import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { defineEvent, defineQueue } from '../../src/index.ts';
import {
  archive,
  cloudEvent,
  EVERYTHING,
  gate,
  invoices,
  ledger,
  never,
  notes,
  Noted,
  Placed,
  range,
  Render,
  warmUp,
  World,
} from './kit.ts';

describe('queues', () => {
  it('get their own copy each, and processes share the work of one', async () => {
    const world = new World();
    const handled = { one: [] as number[], two: [] as number[], archive: [] as number[] };
    const [one, two] = [world.process(), world.process()];
    const wait = (): Promise<void> => new Promise((resolve) => world.time.after(10, resolve));
    await one.bus.consume(notes, { 'note.taken': async ({ n }) => (handled.one.push(n), wait()) });
    await two.bus.consume(notes, { 'note.taken': async ({ n }) => (handled.two.push(n), wait()) });
    await two.bus.consume(archive, { 'note.taken': async ({ n }) => (handled.archive.push(n), wait()) });
    for (const n of range(200)) await one.bus.publish(Noted, { n });
    await world.time.advance(10_000);
    expect(handled.archive.toSorted((a, b) => a - b)).toEqual(range(200));
    expect([...handled.one, ...handled.two].toSorted((a, b) => a - b)).toEqual(range(200));
    expect(Math.min(handled.one.length, handled.two.length)).toBeGreaterThan(20);
  });

  it('get what was published after they were created, before anyone consumes', async () => {
    const world = new World();
    const { bus } = world.process();
    for (const n of range(5)) await bus.publish(Noted, { n });
    const handled: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) });
    await world.time.advance(1_000);
    expect(handled).toEqual(range(5));
  });
});

describe('concurrency', () => {
  it.each([
    [1, false],
    [3, false],
    [16, false],
    [3, true],
  ] as const)('of %d is reached and never exceeded, ordered %s', async (concurrency, ordered) => {
    const world = new World();
    const { bus, seen } = world.process();
    let running = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => world.time.after(10, resolve));
      running -= 1;
    };
    if (ordered) await bus.consume(ledger, { 'order.placed': work, 'order.paid': work }, { concurrency });
    else await bus.consume(notes, { 'note.taken': work }, { concurrency });
    for (const n of range(100)) await (ordered ? bus.publish(Placed, { key: `k${n}`, n }) : bus.publish(Noted, { n }));
    await world.time.advance(5_000);
    expect(most).toBe(concurrency);
    expect(seen('handled')).toHaveLength(100);
  });

  it('is 16 by default', async () => {
    const world = new World();
    const { bus } = world.process();
    const stop = gate();
    const consumer = await bus.consume(notes, { 'note.taken': ({ n }) => (n < 0 ? undefined : stop.opened) });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    for (const n of range(200)) await bus.publish(Noted, { n });
    await world.time.advance(100);
    expect(consumer.health()).toMatchObject({ running: 16, held: 64 });
    expect(world.queue(notes)).toMatchObject({ inFlight: 64, ready: 136 });
    stop.open();
  });

  it.each([
    [{ concurrency: 0 }],
    [{ concurrency: 1.5 }],
    [{ timeoutMs: -1 }],
    [{ retry: { delaysMs: [-1] } }],
    [{ retry: { jitter: 2 } }],
    [{ skip: ['bored'] }],
    [{ nonsense: 1 }],
  ])('and other options are checked at once: %j', async (options) => {
    const world = new World();
    const { bus, seam } = world.process();
    await expect(bus.consume(notes, { 'note.taken': () => undefined }, options as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(seam.subscriptions).toEqual([]);
    expect(bus.health().consumers).toEqual([]);
  });
});

describe('the window', () => {
  it('is 1,000 on an ordered queue', async () => {
    const world = new World();
    const { bus } = world.process();
    const stop = gate();
    const consumer = await bus.consume(
      ledger,
      {
        'order.placed': ({ key }) => (key.startsWith('warm') ? undefined : stop.opened),
        'order.paid': () => undefined,
      },
      { concurrency: 2 },
    );
    let warm = 0;
    await warmUp(() => bus.publish(Placed, { key: `warm${warm++}`, n: 0 }), world.time);
    for (const n of range(1_500)) void bus.publish(Placed, { key: `k${n % 7}`, n });
    await world.time.advance(1_000);
    expect(consumer.health()).toMatchObject({ running: 2, held: 1_000, status: 'up' });
    stop.open();
    await world.until(() => consumer.health().held === 0 && world.queue(ledger).ready === 0);
  });

  it.each([
    [true, 8],
    [false, 24],
  ])(
    'is never exceeded, but by what is being settled where the broker has no prefetch: %s',
    async (prefetch, limit) => {
      const world = new World();
      const { bus, seam } = world.process();
      seam.prefetch = prefetch;
      let most = 0;
      seam.onReceived = () => {
        most = Math.max(most, world.queue(notes).inFlight);
      };
      await bus.consume(
        notes,
        { 'note.taken': () => new Promise<void>((resolve) => world.time.after(3, resolve)) },
        { concurrency: 2 },
      );
      for (const n of range(300)) await bus.publish(Noted, { n });
      await world.time.advance(5_000);
      expect(most).toBeGreaterThanOrEqual(8);
      expect(most).toBeLessThanOrEqual(limit);
    },
  );

  it.each([
    [false, 24],
    [true, 8],
  ])(
    'goes on while the broker takes settlements, for two windows, and not by its prefetch: %s',
    async (prefetch, held) => {
      const world = new World();
      const { bus, seam } = world.process();
      seam.prefetch = prefetch;
      const consumer = await bus.consume(notes, { 'note.taken': () => undefined }, { concurrency: 2 });
      await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
      const stop = gate();
      seam.beforeSettle = () => stop.opened;
      for (const n of range(100)) await bus.publish(Noted, { n });
      await world.time.advance(1_000);
      expect(consumer.health()).toMatchObject({ running: 0, held });
      stop.open();
      await world.until(() => consumer.health().held === 0 && world.queue(notes).ready === 0);
    },
  );
});

describe('handlers', () => {
  it('may be synchronous or not', async () => {
    const world = new World();
    const Ping = defineEvent('ping', z.object({ n: z.number() }), { topic: 'pings' });
    const Pong = defineEvent('pong', z.object({ n: z.number() }), { topic: 'pings' });
    const pings = defineQueue('pings', { handles: [Ping, Pong] });
    const { bus } = world.process([pings]);
    const handled: string[] = [];
    await bus.consume(pings, {
      ping: ({ n }) => void handled.push(`ping ${n}`),
      pong: async ({ n }) => {
        await Promise.resolve();
        handled.push(`pong ${n}`);
      },
    });
    for (const n of range(3)) await Promise.all([bus.publish(Ping, { n }), bus.publish(Pong, { n })]);
    await world.time.advance(100);
    expect(handled.toSorted()).toEqual(['ping 0', 'ping 1', 'ping 2', 'pong 0', 'pong 1', 'pong 2']);
    expect(world.broker.queues.get('pings')?.depth()).toMatchObject({ ready: 0, inFlight: 0 });
  });

  it('must be there for every contract, and for no other', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    await expect(bus.consume(ledger, { 'order.placed': () => undefined } as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('order.paid') as string,
    });
    await expect(bus.consume(notes, { 'note.taken': 'no function' } as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(
      bus.consume(notes, { 'note.taken': () => undefined, other: () => undefined } as never),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('other') as string });
    expect(seam.subscriptions).toEqual([]);
  });

  it('get validated output, the context, and data of the latest version', async () => {
    const world = new World();
    const Priced = defineEvent('priced', z.object({ cents: z.string() }), { topic: 'prices' })
      .evolve(z.object({ cents: z.coerce.number(), currency: z.string().default('EUR') }), ({ cents }) => ({ cents }))
      .evolve(z.object({ cents: z.number(), currency: z.string(), net: z.boolean() }), (second) => ({
        ...second,
        net: false,
      }));
    const prices = defineQueue('prices', { handles: [Priced] });
    const { bus } = world.process([prices]);
    const handled: unknown[] = [];
    await bus.consume(prices, {
      priced: (data, context) => {
        handled.push({
          data,
          attempt: context.attempt,
          redelivered: context.redelivered,
          version: context.metadata.version,
          aborted: context.signal.aborted,
          position: context.delivery.position,
        });
      },
    });
    await world.raw().send(
      [
        cloudEvent('prices', { id: 'one', type: 'priced', dataversion: 1, data: { cents: '7' } }),
        cloudEvent('prices', {
          id: 'two',
          type: 'priced',
          dataversion: undefined,
          dataschema: 'urn:x:2',
          data: { cents: 8, currency: 'USD' },
        }),
      ],
      never,
    );
    await bus.publish(Priced, { cents: 9, currency: 'CHF', net: true });
    await world.time.advance(100);
    expect(handled).toEqual([
      {
        data: { cents: 7, currency: 'EUR', net: false },
        attempt: 1,
        redelivered: false,
        version: 1,
        aborted: false,
        position: 'prices@1',
      },
      {
        data: { cents: 8, currency: 'USD', net: false },
        attempt: 1,
        redelivered: false,
        version: 2,
        aborted: false,
        position: 'prices@2',
      },
      {
        data: { cents: 9, currency: 'CHF', net: true },
        attempt: 1,
        redelivered: false,
        version: 3,
        aborted: false,
        position: 'prices@3',
      },
    ]);
  });

  it('are told of a redelivery', async () => {
    const world = new World();
    const first = world.process();
    const stop = gate();
    await first.bus.consume(notes, { 'note.taken': () => stop.opened });
    await first.bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    first.kill();
    const second = world.process();
    const seen: unknown[] = [];
    await second.bus.consume(notes, {
      'note.taken': (_data, { attempt, redelivered }) => void seen.push([attempt, redelivered]),
    });
    await world.time.advance(10);
    expect(seen).toEqual([[1, true]]);
    stop.open();
  });
});

describe('a start', () => {
  it('resolves once messages sent from now on would arrive', async () => {
    const world = new World();
    const { bus } = world.process();
    const handled: number[] = [];
    const consumer = await bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) });
    expect(consumer.health()).toEqual({ queue: 'notes', status: 'up', held: 0, running: 0 });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    expect(handled).toEqual([1]);
  });

  it('waits for a broker that is down, and says so', async () => {
    const world = new World();
    const { bus, seen } = world.process();
    world.broker.stop();
    let started = false;
    const consuming = bus.consume(notes, { 'note.taken': () => undefined }).then(() => (started = true));
    await world.time.advance(60_000);
    expect(started).toBe(false);
    expect(bus.health()).toMatchObject({
      status: 'down',
      consumers: [{ status: 'down', error: { code: 'UNAVAILABLE' } }],
    });
    world.broker.start();
    await world.time.advance(7_000);
    await consuming;
    expect(bus.health().status).toBe('up');
    expect(seen('consumer').at(-1)).toMatchObject({ status: 'up' });
  });

  it('ends when its signal aborts', async () => {
    const world = new World();
    const { bus } = world.process();
    world.broker.stop();
    const stop = new AbortController();
    const consuming = bus.consume(notes, { 'note.taken': () => undefined }, { signal: stop.signal });
    await world.time.advance(1_000);
    stop.abort(new Error('enough'));
    await expect(consuming).rejects.toThrow('enough');
    world.broker.start();
    await world.time.advance(10_000);
    expect(bus.health()).toMatchObject({ status: 'up', consumers: [] });
    await expect(bus.consume(notes, { 'note.taken': () => undefined }, { signal: stop.signal })).rejects.toThrow(
      'enough',
    );
  });

  it('is not undone by a signal that aborts later', async () => {
    const world = new World();
    const { bus } = world.process();
    const stop = new AbortController();
    const handled: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) }, { signal: stop.signal });
    stop.abort();
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    expect(handled).toEqual([1]);
  });

  it('is refused in verify mode, naming all that is missing and what would make it', async () => {
    const world = new World();
    const { bus } = world.process(undefined, { provision: 'verify' });
    const refused = bus.consume(notes, { 'note.taken': () => undefined });
    await expect(refused).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringMatching(/Topic "notes".*Queue "notes".*provision/) as string,
    });
    expect(world.broker.queues.size).toBe(0);
    expect(bus.health().consumers).toEqual([]);
  });

  it('is refused in verify mode for a binding alone', async () => {
    const world = new World();
    const Later = defineEvent('note.later', z.object({}), { topic: 'notes' });
    const more = defineQueue('notes', { handles: [Noted, Later] });
    await world.process([notes]).bus.provision();
    const { bus } = world.process([more], { provision: 'verify' });
    await expect(
      bus.consume(more, { 'note.taken': () => undefined, 'note.later': () => undefined }),
    ).rejects.toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining('note.later') as string });
  });

  it('is refused where the broker has it otherwise', async () => {
    const world = new World();
    const unordered = defineQueue('ledger', { handles: [Placed] });
    await world.process().bus.provision();
    const { bus } = world.process([unordered]);
    await expect(bus.consume(unordered, { 'order.placed': () => undefined })).rejects.toMatchObject({
      code: 'CONFLICT',
    });
  });

  it('is refused for a queue that the bus does not use', async () => {
    const world = new World();
    const { bus } = world.process([notes]);
    await expect(bus.consume(invoices, { 'invoice.render': () => undefined })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('of an ordered queue is refused when the bus is made, where nobody can order', () => {
    const world = new World({ capabilities: { ordering: 'none' } });
    expect(() => world.process([...EVERYTHING])).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: expect.stringMatching(/ledger.*memory/) as string,
      }) as Error,
    );
  });

  it('of two consumers of one queue in one process shares the work', async () => {
    const world = new World();
    const { bus } = world.process();
    const handled: number[] = [];
    for (const _ of range(2)) await bus.consume(invoices, { 'invoice.render': ({ n }) => void handled.push(n) });
    for (const n of range(50)) await bus.send(invoices, Render, { n });
    await world.time.advance(1_000);
    expect(handled.toSorted((a, b) => a - b)).toEqual(range(50));
  });
});

it('nothing is kept of what was handled', async () => {
  const world = new World();
  const { bus } = world.process();
  let handled = 0;
  const consumer = await bus.consume(notes, { 'note.taken': () => void (handled += 1) });
  for (const n of range(5_000)) void bus.publish(Noted, { n });
  await world.until(() => handled === 5_000);
  await world.time.advance(100);
  expect(consumer.health()).toMatchObject({ held: 0, running: 0 });
  expect(bus.health().publisher.pending).toBe(0);
  expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
});
