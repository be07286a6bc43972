import { describe, expect, it } from 'vitest';
import type { Bus, ConsumeOptions, DeadLetter, QueueContract, RedriveOptions, RedriveResult } from '../../src/index.ts';
import {
  archive,
  bookkeepingOf,
  cloudEvent,
  EVERYTHING,
  foreign,
  invoices,
  ledger,
  letters,
  never,
  notes,
  Noted,
  Placed,
  type Process,
  range,
  unavailable,
  World,
} from './kit.ts';

const DEAD: ConsumeOptions = { retry: { delaysMs: [] } };

/** Redrives while the world's time goes on; fails when that does not end within two minutes of it. */
async function redriven(
  world: World,
  bus: Bus,
  queue: QueueContract,
  options?: RedriveOptions,
): Promise<RedriveResult> {
  let result: RedriveResult | undefined;
  let failure: unknown;
  bus.redrive(queue, options).then(
    (done) => (result = done),
    (error: unknown) => (failure = error),
  );
  for (let step = 0; step < 240 && result === undefined && failure === undefined; step += 1) {
    await world.time.advance(500);
  }
  if (failure !== undefined) throw failure;
  if (result === undefined) throw new Error('the redrive does not end');
  return result;
}

async function listed(world: World, bus: Bus, queue: QueueContract): Promise<readonly DeadLetter[]> {
  let all: readonly DeadLetter[] | undefined;
  void letters(bus, queue).then((found) => (all = found));
  for (let step = 0; step < 60 && all === undefined; step += 1) await world.time.advance(500);
  if (all === undefined) throw new Error('the listing does not end');
  return all;
}

const sorted = (numbers: readonly number[]): readonly number[] => numbers.toSorted((a, b) => a - b);
const numberOf = (letter: DeadLetter): number => (letter.message?.data as { n: number }).n;

/** A process whose handler fails while `broken` says so, and records its successes. */
async function worker(world: World, options: Parameters<World['process']>[1] = {}) {
  const process = world.process(undefined, options);
  const state = { broken: (_n: number): boolean => true };
  const handled: { n: number; attempt: number; id: string }[] = [];
  const runs: number[] = [];
  const consumer = await process.bus.consume(
    notes,
    {
      'note.taken': ({ n }, { attempt, metadata }) => {
        runs.push(n);
        if (state.broken(n)) throw new Error(`broken ${n}`);
        handled.push({ n, attempt, id: metadata.id });
      },
    },
    DEAD,
  );
  return { ...process, consumer, state, handled, runs };
}

async function withLetters(count: number, world: World = new World(), options: Parameters<World['process']>[1] = {}) {
  const { state, ...process } = await worker(world, options);
  for (const n of range(count)) await process.bus.publish(Noted, { n }, { id: `n${n}` });
  await world.time.advance(1_000);
  expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0, delayed: 0, dead: count });
  return { ...process, world, repair: (broken: (n: number) => boolean = () => false) => (state.broken = broken) };
}

const BROKERS = [
  ['a broker that lists', {}],
  ['a broker that cannot list', { browse: false }],
  ['copies', { capabilities: { reject: 'none' } }],
  ['deduplication', { deduplicationMs: 3_600_000 }],
] as const;

describe('a redrive', () => {
  it.each([
    ['waits for letters that a dead process hides until its lease ends', { leaseMs: 10_000 }, 3],
    ['does not wait where nothing stays hidden', {}, 0],
  ] as const)('%s', async (_, capabilities, returned) => {
    const { world, bus, repair, handled } = await withLetters(3, new World({ leaseMs: 10_000, capabilities }));
    repair();
    const held = await world
      .raw()
      .subscribe({ ...notes, bindings: [] }, 'dead', { maxInFlight: 3, onLost: () => undefined });
    expect(await held.receive(3, never)).toHaveLength(3);
    expect(await redriven(world, bus, notes)).toEqual({ redriven: returned, kept: 0 });
    await world.time.advance(1_000);
    expect(handled).toHaveLength(returned);
  });

  it('does not wait for letters that it holds itself', async () => {
    const world = new World({ leaseMs: 30_000, capabilities: { leaseMs: 30_000 } });
    const { bus, repair } = await withLetters(5, world);
    repair();
    const startedAt = world.time.now();
    expect(await redriven(world, bus, notes, { where: (letter) => numberOf(letter) > 2 })).toEqual({
      redriven: 2,
      kept: 3,
    });
    expect(world.time.now() - startedAt).toBeLessThan(5_000);
  });

  it.each([
    ['holds all letters that stay where the lane takes only what is rejected', 'annotated', 0],
    ['appends those beyond 1,000 anew elsewhere', 'none', 500],
  ] as const)('%s', async (_, reject, appended) => {
    const { world, bus, seam, repair } = await withLetters(1_500, new World({ capabilities: { reject } }));
    repair();
    let copies = 0;
    seam.afterSend = (batch) => {
      copies += batch.filter(({ target }) => 'lane' in target && target.lane === 'dead').length;
    };
    expect(await redriven(world, bus, notes, { where: () => false })).toEqual({ redriven: 0, kept: 1_500 });
    expect(copies).toBe(appended);
    expect(await listed(world, bus, notes)).toHaveLength(1_500);
  });
});

describe.each(BROKERS)('redrive with %s', (_, options) => {
  it('returns letters to their queue with id and body, attempts from 1, and counts them', async () => {
    const { world, bus, repair, handled, seam, seen } = await withLetters(30, new World(options));
    const originals = seam.sent.filter(({ id }) => !id.includes('#'));
    repair();
    expect(await redriven(world, bus, notes)).toEqual({ redriven: 30, kept: 0 });
    await world.time.advance(1_000);
    expect(handled.map(({ id }) => id).toSorted()).toEqual(
      range(30)
        .map((n) => `n${n}`)
        .toSorted(),
    );
    expect(handled.every(({ attempt }) => attempt === 1)).toBe(true);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
    const copies = seam.sent.filter(({ id }) => id.endsWith('#r1'));
    expect(copies).toHaveLength(30);
    for (const copy of copies) expect(copy.body).toEqual(originals.find(({ id }) => `${id}#r1` === copy.id)?.body);
    expect(
      copies
        .map(bookkeepingOf)
        .every(
          (book) =>
            book['attempt'] === 1 &&
            book['redrives'] === 1 &&
            book['error'] === undefined &&
            book['reason'] === undefined,
        ),
    ).toBe(true);
    expect(seen('redriven')).toEqual([{ name: 'redriven', queue: 'notes', count: 30 }]);
  });

  it('ends by itself while letters die again, and counts their redrives', async () => {
    const { world, bus, repair, runs } = await withLetters(40, new World(options));
    repair((n) => n % 2 === 0);
    expect(await redriven(world, bus, notes)).toMatchObject({ redriven: 40 });
    await world.time.advance(5_000);
    expect(runs).toHaveLength(80);
    const again = await listed(world, bus, notes);
    expect(sorted(again.map(numberOf))).toEqual(range(20).map((n) => 2 * n));
    expect(
      again.every(
        ({ redrives, attempts, topic, reason }) =>
          redrives === 1 && attempts === 1 && topic === 'notes' && reason === 'handler-failed',
      ),
    ).toBe(true);
    expect(await redriven(world, bus, notes)).toMatchObject({ redriven: 20 });
    await world.time.advance(5_000);
    expect((await listed(world, bus, notes)).every(({ redrives }) => redrives === 2)).toBe(true);
  });

  it('takes only what `where` wants and leaves the rest as it was', async () => {
    const { world, bus, repair, handled } = await withLetters(30, new World(options));
    repair();
    const before = await listed(world, bus, notes);
    expect(await redriven(world, bus, notes, { where: (letter) => numberOf(letter) < 10 })).toEqual({
      redriven: 10,
      kept: 20,
    });
    await world.time.advance(1_000);
    expect(sorted(handled.map(({ n }) => n))).toEqual(range(10));
    const after = await listed(world, bus, notes);
    expect(after.map(({ id, reason, deadAt, error, redrives }) => ({ id, reason, deadAt, error, redrives }))).toEqual(
      before.slice(10).map(({ id, reason, deadAt, error, redrives }) => ({ id, reason, deadAt, error, redrives })),
    );
  });

  it('takes at most `max`', async () => {
    const { world, bus, repair, handled } = await withLetters(30, new World(options));
    repair();
    expect(await redriven(world, bus, notes, { max: 7 })).toMatchObject({ redriven: 7 });
    await world.time.advance(1_000);
    expect(sorted(handled.map(({ n }) => n))).toEqual(range(7));
    expect(await redriven(world, bus, notes, { max: 0 })).toMatchObject({ redriven: 0 });
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 23 });
  });

  it('loses nothing when it is killed half-way, and can be run again at once', async () => {
    const { world, bus, repair, handled } = await withLetters(300, new World(options));
    repair();
    const half = world.process();
    let stored = 0;
    half.seam.afterSend = (batch) => {
      stored += batch.length;
      if (stored >= 120) half.kill();
    };
    await expect(redriven(world, half.bus, notes)).rejects.toMatchObject({ code: 'CLOSED' });
    await world.time.advance(1_000);
    await redriven(world, bus, notes);
    await world.time.advance(1_000);
    expect(new Set(handled.map(({ id }) => id))).toEqual(new Set(range(300).map((n) => `n${n}`)));
    expect(handled.length).toBeLessThanOrEqual(300 + 100);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('loses nothing when its copies are refused', async () => {
    const { world, bus, seam, repair, handled } = await withLetters(10, new World(options), { sendTimeoutMs: 5_000 });
    repair();
    seam.refuse = ({ id }) => (id.endsWith('#r1') && !id.startsWith('n3') ? unavailable() : undefined);
    await expect(redriven(world, bus, notes)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect((await listed(world, bus, notes)).length).toBeGreaterThanOrEqual(9);
    seam.refuse = undefined;
    await redriven(world, bus, notes);
    await world.time.advance(1_000);
    expect(new Set(handled.map(({ n }) => n)).size).toBe(10);
    expect(world.queue(notes).dead).toBe(0);
  });
});

describe('redrive', () => {
  it('stores a copy before it takes its letter', async () => {
    const { world, bus, seam, repair } = await withLetters(5);
    repair();
    const order: string[] = [];
    seam.afterSend = () => void order.push('stored');
    seam.beforeSettle = (batch) =>
      void order.push(
        ...batch.filter(({ delivery }) => delivery.headers['waybill']?.includes('"reason"')).map(() => 'taken'),
      );
    await redriven(world, bus, notes);
    expect(order[0]).toBe('stored');
    expect(order.filter((step) => step === 'taken')).toHaveLength(5);
  });

  it('begins again at attempt 1, with the whole schedule, after a letter of several attempts', async () => {
    const world = new World();
    const { bus } = world.process();
    const attempts: number[] = [];
    await bus.consume(
      notes,
      { 'note.taken': (_data, { attempt }) => (attempts.push(attempt), Promise.reject(new Error('no'))) },
      { retry: { delaysMs: [10, 10] } },
    );
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(1_000);
    expect(await letters(bus, notes)).toMatchObject([{ attempts: 3, redrives: 0 }]);
    const [before] = await letters(bus, notes);
    await redriven(world, bus, notes);
    await world.time.advance(1_000);
    expect(attempts).toEqual([1, 2, 3, 1, 2, 3]);
    const [after] = await letters(bus, notes);
    expect(after).toMatchObject({ attempts: 3, redrives: 1 });
    expect(after?.firstFailedAt).toBeGreaterThan(before?.deadAt ?? 0);
  });

  it('is seen by no sibling queue of the topic', async () => {
    const world = new World();
    const { bus, repair } = await withLetters(10, world);
    repair();
    await redriven(world, bus, notes);
    await world.time.advance(1_000);
    expect(world.queue(archive)).toMatchObject({ ready: 10, dead: 0 });
  });

  it('collapses letters with equal ids that a crash stored twice', async () => {
    const { world, bus, repair, handled, seam } = await withLetters(3, new World({ capabilities: { reject: 'none' } }));
    await world.raw().send(
      seam.sent.filter(({ id }) => id.endsWith('#d')),
      never,
    );
    expect(world.queue(notes).dead).toBe(6);
    repair();
    expect(await redriven(world, bus, notes)).toEqual({ redriven: 3, kept: 0 });
    await world.time.advance(1_000);
    expect(handled).toHaveLength(3);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('takes two foreign messages with one id, of two sources, for two', async () => {
    const world = new World();
    const { bus, state, runs } = await worker(world);
    await world.raw().send(
      ['/a', '/b'].map((source) => cloudEvent('notes', { id: '1', source, data: { n: 1 } }, { id: source })),
      never,
    );
    await world.time.advance(1_000);
    expect(await listed(world, bus, notes)).toHaveLength(2);
    state.broken = () => false;
    await redriven(world, bus, notes);
    await world.time.advance(1_000);
    expect(runs).toHaveLength(4);
  });

  it('leaves a collapsed twin with the letter that stays', async () => {
    const { world, bus, seam } = await withLetters(3, new World({ capabilities: { reject: 'none' } }));
    await world.raw().send(
      seam.sent.filter(({ id }) => id.endsWith('#d')),
      never,
    );
    expect(await redriven(world, bus, notes, { where: () => false })).toEqual({ redriven: 0, kept: 3 });
    expect(await listed(world, bus, notes)).toHaveLength(3);
  });

  it.each([[{}], [{ browse: false }], [{ capabilities: { reject: 'none' } }]] as const)(
    'walks past more than 1,000 letters that stay, with %o',
    async (options) => {
      const { world, bus, repair, handled } = await withLetters(2_600, new World(options));
      repair();
      expect(await redriven(world, bus, notes, { where: (letter) => numberOf(letter) >= 2_500 })).toEqual({
        redriven: 100,
        kept: 2_500,
      });
      await world.time.advance(5_000);
      expect(handled.map(({ n }) => n).toSorted((a, b) => a - b)).toEqual(range(100).map((n) => 2_500 + n));
      const rest = await listed(world, bus, notes);
      expect(rest.map(numberOf).toSorted((a, b) => a - b)).toEqual(range(2_500));
      expect(
        rest.every(({ reason, redrives, attempts }) => reason === 'handler-failed' && redrives === 0 && attempts === 1),
      ).toBe(true);
      expect(world.queue(notes).dead).toBe(2_500);
    },
  );

  it('walks past more than 1,000 letters also when that takes longer than their leases', async () => {
    const { world, bus, seam, repair, handled } = await withLetters(2_600, new World({ leaseMs: 4_000 }));
    repair();
    seam.beforeSend = () => new Promise((resolve) => world.time.after(1_000, resolve));
    expect(await redriven(world, bus, notes, { where: (letter) => numberOf(letter) >= 2_500 })).toEqual({
      redriven: 100,
      kept: 2_500,
    });
    await world.time.advance(5_000);
    expect(sorted(handled.map(({ n }) => n))).toEqual(range(100).map((n) => 2_500 + n));
    expect(sorted((await listed(world, bus, notes)).map(numberOf))).toEqual(range(2_500));
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 2_500 });
  });

  it('ends by itself although the clock of the process that fails is behind', async () => {
    const world = new World();
    const behind = {
      now: () => world.time.now() - 90_000,
      after: (ms: number, run: () => void) => world.time.after(ms, run),
    };
    const { runs } = await withLetters(5, world, { clock: behind });
    const { bus } = world.process();
    expect(await redriven(world, bus, notes)).toMatchObject({ redriven: 5 });
    await world.time.advance(1_000);
    expect(runs).toHaveLength(10);
  });

  it('ends by itself although letters die again within the same millisecond', async () => {
    const { world, bus, runs } = await withLetters(5);
    const result = bus.redrive(notes);
    for (let turn = 0; turn < 500; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(runs.length).toBeLessThanOrEqual(10);
    await world.time.advance(5_000);
    expect(await result).toMatchObject({ redriven: 5 });
  });

  it('of two processes at the same time takes each letter once', async () => {
    const { world, bus, repair, handled } = await withLetters(200);
    repair();
    const other = world.process();
    const results = await Promise.all([redriven(world, bus, notes), redriven(world, other.bus, notes)]);
    expect(results[0].redriven + results[1].redriven).toBe(200);
    await world.time.advance(1_000);
    expect(handled).toHaveLength(200);
  });

  it('returns what the broker gave up and what has no envelope', async () => {
    const world = new World({ capabilities: { maxDeliveries: 4 } });
    const { bus } = world.process([notes], {});
    await bus.publish(Noted, { n: 1 }, { id: 'worn-out' });
    const raw = world.raw();
    const subscription = await raw.subscribe({ name: 'notes', ordered: false, bindings: [] }, 'work', {
      maxInFlight: 10,
      onLost: () => undefined,
    });
    for (let count = 0; count < 4; count += 1) {
      const deliveries = await subscription.receive(10, never);
      await subscription.settle(deliveries.map((delivery) => ({ delivery, action: 'release' })));
    }
    await subscription.close(0);
    await raw.send([foreign('notes', 'junk', { lane: 'dead' })], never);
    const before = await letters(bus, notes);
    expect(before).toMatchObject([
      { id: 'worn-out', reason: 'delivery_limit' },
      { type: 'unknown', reason: 'unknown' },
    ]);
    expect(await redriven(world, bus, notes)).toEqual({ redriven: 2, kept: 0 });
    expect(world.queue(notes)).toMatchObject({ ready: 2, dead: 0 });
    const handled: string[] = [];
    await bus.consume(notes, { 'note.taken': (_data, { metadata }) => void handled.push(metadata.id) });
    await world.time.advance(1_000);
    expect(handled).toEqual(['worn-out']);
    expect(await letters(bus, notes)).toMatchObject([{ id: before[1]?.id, reason: 'undecodable', redrives: 1 }]);
  });

  it('returns letters of an ordered queue with their key', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    let broken = true;
    const handled: string[] = [];
    await bus.consume(
      ledger,
      {
        'order.placed': ({ key, n }) => {
          if (broken) throw new Error('no');
          handled.push(`${key}${n}`);
        },
        'order.paid': () => undefined,
      },
      DEAD,
    );
    for (const n of range(3)) await bus.publish(Placed, { key: 'a', n });
    await world.time.advance(1_000);
    broken = false;
    await redriven(world, bus, ledger);
    await world.time.advance(1_000);
    expect(seam.sent.filter(({ id }) => id.endsWith('#r1')).map(({ key }) => key)).toEqual(['a', 'a', 'a']);
    expect(handled).toEqual(['a0', 'a1', 'a2']);
  });

  it('stops when its signal aborts', async () => {
    const { world, bus, seam } = await withLetters(10);
    const stop = new AbortController();
    seam.afterSend = () => stop.abort(new Error('enough'));
    await expect(redriven(world, bus, notes, { signal: stop.signal })).rejects.toThrow('enough');
    expect(world.queue(notes).dead).toBe(10);
  });

  it('gives back what it held when `where` throws', async () => {
    const { world, bus } = await withLetters(10);
    const where = (): boolean => {
      throw new Error('where is broken');
    };
    await expect(redriven(world, bus, notes, { where })).rejects.toThrow('where is broken');
    expect(await listed(world, bus, notes)).toHaveLength(10);
    expect(await redriven(world, bus, notes)).toMatchObject({ redriven: 10 });
  });

  it('survives a connection that is cut, losing nothing', async () => {
    const { world, bus, seam, driver, repair, handled } = await withLetters(300);
    repair();
    let cuts = 0;
    seam.afterSend = () => {
      if (cuts++ === 0) driver.connection.cut();
    };
    await redriven(world, bus, notes).catch((error: { code: string }) => expect(error.code).toBe('UNAVAILABLE'));
    await redriven(world, bus, notes);
    await world.time.advance(1_000);
    expect(new Set(handled.map(({ n }) => n)).size).toBe(300);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('of an empty lane does nothing', async () => {
    const world = new World();
    const { bus } = await worker(world);
    expect(await redriven(world, bus, notes)).toEqual({ redriven: 0, kept: 0 });
  });
});

describe('deadLetters', () => {
  it.each([[{}], [{ browse: false }]] as const)(
    'lists all, in order, as often as asked, from two processes, and takes none, with %o',
    async (options) => {
      const { world, bus } = await withLetters(350, new World(options));
      const other = world.process();
      for (let round = 0; round < 5; round += 1) {
        expect((await listed(world, bus, notes)).map(numberOf)).toEqual(range(350));
        expect((await listed(world, other.bus, notes)).map(numberOf)).toEqual(range(350));
      }
      expect(await bus.depth(notes)).toMatchObject({ deadLettered: 350, ready: 0 });
    },
  );

  it.each([[{}], [{ browse: false }]] as const)('may be left early, with %o', async (options) => {
    const { world, bus } = await withLetters(350, new World(options));
    const first = async (): Promise<string> => {
      for await (const letter of bus.deadLetters(notes)) return letter.id;
      return 'none';
    };
    expect(await first()).toBe('n0');
    expect(await listed(world, bus, notes)).toHaveLength(350);
  });

  it('lists also more than a subscription can hold, on a broker that cannot list', async () => {
    const world = new World({ browse: false });
    const { bus } = world.process();
    await bus.provision();
    const raw = world.raw();
    for (const page of range(11)) {
      await raw.send(
        range(1_000).map((n) => foreign('notes', `${page}-${n}`, { lane: 'dead' })),
        never,
      );
    }
    expect(await listed(world, bus, notes)).toHaveLength(11_000);
  });
});

describe('depth and purge', () => {
  it('tell and empty one lane of one queue', async () => {
    const { world, bus, consumer } = await withLetters(10);
    await consumer.close();
    for (const n of range(4)) await bus.publish(Noted, { n });
    expect(await bus.depth(notes)).toMatchObject({ ready: 4, deadLettered: 10 });
    await bus.purge(notes, 'dead');
    expect(await bus.depth(notes)).toMatchObject({ ready: 4, deadLettered: 0 });
    expect(world.queue(archive).ready).toBe(14);
    await bus.purge(notes, 'work');
    expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 });
    expect(world.queue(archive).ready).toBe(14);
  });

  it('are refused without management rights, with the reason', async () => {
    const world = new World();
    await world.process().bus.provision();
    const { bus } = world.process([...EVERYTHING], { memory: { admin: false } });
    await expect(bus.depth(notes)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/depth.*memory/) as string,
    });
    await expect(bus.purge(notes, 'dead')).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/purge.*memory/) as string,
    });
  });

  it('are refused for a queue that the bus does not use', async () => {
    const world = new World();
    const { bus }: Process = world.process([notes]);
    await expect(bus.depth(invoices)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(bus.purge(invoices, 'dead')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(bus.redrive(invoices)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(letters(bus, invoices)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
