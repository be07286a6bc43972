import { describe, expect, it } from 'vitest';
import { type ConsumeOptions, type HandlerContext, Reject } from '../../src/index.ts';
import { gate, ledger, letters, notes, Noted, Placed, World } from './kit.ts';

async function notesOf(
  world: World,
  act: (n: number, context: HandlerContext) => unknown,
  options: ConsumeOptions = {},
) {
  const process = world.process();
  const start = world.time.now();
  const runs: { readonly n: number; readonly attempt: number; readonly at: number }[] = [];
  const consumer = await process.bus.consume(
    notes,
    {
      'note.taken': async ({ n }, context) => {
        runs.push({ n, attempt: context.attempt, at: world.time.now() - start });
        await act(n, context);
      },
    },
    options,
  );
  return { ...process, consumer, runs, start };
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));

describe('a handler that takes too long', () => {
  it('has its signal aborted after 5 minutes by default', async () => {
    const world = new World();
    let aborted: unknown;
    const { bus, start } = await notesOf(world, (_n, { signal }) => {
      signal.addEventListener(
        'abort',
        () => (aborted = { at: world.time.now() - start, reason: signal.reason as unknown }),
      );
      return untilAborted(signal);
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(299_000);
    expect(aborted).toBeUndefined();
    await world.time.advance(2_000);
    expect(aborted).toMatchObject({ at: 300_000, reason: { message: expect.stringContaining('300000 ms') as string } });
  });

  it('has failed its attempt, and after the last one is timed-out', async () => {
    const world = new World();
    const { bus, runs } = await notesOf(world, (_n, { signal }) => untilAborted(signal), {
      timeoutMs: 2_000,
      retry: { delaysMs: [1_000, 1_000] },
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(30_000);
    expect(runs.map(({ attempt, at }) => [attempt, at])).toEqual([
      [1, 0],
      [2, 3_000],
      [3, 6_000],
    ]);
    expect(await letters(bus, notes)).toMatchObject([
      { reason: 'timed-out', attempts: 3, error: { name: 'HandlerTimeout' } },
    ]);
  });

  it('may finish within its grace', async () => {
    const world = new World();
    const { bus, runs, seen } = await notesOf(
      world,
      () => new Promise<void>((resolve) => world.time.after(10_000, resolve)),
      { timeoutMs: 2_000 },
    );
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(30_000);
    expect(runs).toHaveLength(1);
    expect(seen('handled').map(({ outcome }) => outcome)).toEqual(['accepted']);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('that does not return is judged after a grace of 10 s, keeps its slot and is reported as stuck', async () => {
    const world = new World();
    const stop = gate();
    const { bus, runs, consumer, seen } = await notesOf(
      world,
      (n, { attempt }) => (n === 1 && attempt === 1 ? stop.opened : undefined),
      { timeoutMs: 2_000, concurrency: 2 },
    );
    await bus.publish(Noted, { n: 1 }, { id: 'slow' });
    await world.time.advance(11_999);
    expect(seen('stuck')).toEqual([]);
    expect(runs).toHaveLength(1);
    await world.time.advance(1);
    expect(seen('stuck')).toEqual([{ name: 'stuck', queue: 'notes', type: 'note.taken', id: 'slow', sinceMs: 12_000 }]);
    await world.time.advance(2_000);
    expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(consumer.health()).toMatchObject({ running: 1, held: 0 });
    stop.open();
    await world.time.advance(100);
    expect(consumer.health()).toMatchObject({ running: 0 });
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('lets nothing of its late outcome count', async () => {
    const world = new World();
    const { bus, seam, seen } = await notesOf(
      world,
      async (_n, { attempt, publish }) => {
        if (attempt > 1) return;
        await new Promise<void>((resolve) => world.time.after(20_000, resolve));
        publish(Placed, { key: 'late', n: 1 });
        throw new Reject('late');
      },
      { timeoutMs: 2_000 },
    );
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(60_000);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
    expect(seam.sent.filter(({ type }) => type === 'order.placed')).toEqual([]);
    expect(seen('dead-lettered')).toEqual([]);
    expect(seen('handled').map(({ outcome }) => outcome)).toEqual(['retried', 'accepted']);
  });

  it('takes slots from others for as long as it does not return, and no more', async () => {
    const world = new World();
    const { bus, runs } = await notesOf(world, (n) => (n < 2 ? new Promise(() => undefined) : undefined), {
      timeoutMs: 1_000,
      concurrency: 3,
      retry: { delaysMs: [] },
    });
    for (const n of [0, 1, 2, 3, 4, 5]) await bus.publish(Noted, { n });
    await world.time.advance(60_000);
    expect(runs.map(({ n }) => n).toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
    expect((await letters(bus, notes)).map(({ reason }) => reason)).toEqual(['timed-out', 'timed-out']);
  });

  it('on an ordered queue keeps its successors waiting until it is judged', async () => {
    const world = new World();
    const { bus } = world.process();
    const log: string[] = [];
    const start = world.time.now();
    await bus.consume(
      ledger,
      {
        'order.placed': ({ n }, { attempt, signal }) => {
          log.push(`${world.time.now() - start} ${n}/${attempt}`);
          return n === 1 && attempt === 1 ? untilAborted(signal) : undefined;
        },
        'order.paid': () => undefined,
      },
      { timeoutMs: 2_000 },
    );
    await bus.publish(Placed, { key: 'a', n: 1 });
    await bus.publish(Placed, { key: 'a', n: 2 });
    await world.time.advance(30_000);
    expect(log).toEqual(['0 1/1', '3000 1/2', '3000 2/1']);
  });
});

describe('a time that the broker cannot hold', () => {
  it('is refused at start, with the reason', async () => {
    const world = new World({ capabilities: { maxHoldMs: 60_000 } });
    const { bus, seam } = world.process();
    await expect(bus.consume(notes, { 'note.taken': () => undefined })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/notes.*60000.*timeoutMs/) as string,
    });
    await expect(bus.consume(notes, { 'note.taken': () => undefined }, { timeoutMs: 60_001 })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    });
    expect(seam.subscriptions).toEqual([]);
    const consumer = await bus.consume(notes, { 'note.taken': () => undefined }, { timeoutMs: 40_000 });
    expect(consumer.health().status).toBe('up');
  });

  it('is on an ordered queue that of all attempts and the waits between them', async () => {
    const world = new World({ capabilities: { maxHoldMs: 120_000 } });
    const { bus } = world.process();
    const handlers = { 'order.placed': () => undefined, 'order.paid': () => undefined };
    await expect(
      bus.consume(ledger, handlers, { timeoutMs: 10_000, retry: { delaysMs: [60_000, 60_000] } }),
    ).rejects.toMatchObject({ code: 'UNSUPPORTED', message: expect.stringMatching(/ledger.*retry/) as string });
    const consumer = await bus.consume(ledger, handlers, { timeoutMs: 5_000, retry: { delaysMs: [10_000, 10_000] } });
    expect(consumer.health().status).toBe('up');
  });
});
