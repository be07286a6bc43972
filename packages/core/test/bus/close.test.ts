import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { ConsumeOptions, HandlerContext } from '../../src/index.ts';
import {
  gate,
  invoices,
  ledger,
  never,
  notes,
  Noted,
  Placed,
  range,
  Render,
  unavailable,
  warmUp,
  World,
} from './kit.ts';

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

/** The ms that closing took on the world's clock; fails when it takes longer than a minute. */
async function timeOf(world: World, closing: Promise<void>): Promise<number> {
  const start = world.time.now();
  let took: number | undefined;
  void closing.then(() => {
    took = world.time.now() - start;
  });
  for (let step = 0; step < 600 && took === undefined; step += 1) await world.time.advance(100);
  if (took === undefined) throw new Error('it did not close within a minute');
  return took;
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));

describe('close of a bus', () => {
  it('takes no time when there is nothing to do', async () => {
    const world = new World();
    const { bus } = await notesOf(world, () => undefined);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    expect(await timeOf(world, bus.close())).toBe(0);
  });

  it('takes no time when nothing was ever done', async () => {
    const world = new World();
    expect(await timeOf(world, world.process().bus.close())).toBe(0);
  });

  it('ends a wait for messages at once', async () => {
    const world = new World();
    const { bus, consumer } = await notesOf(world, () => undefined);
    await world.time.advance(60_000);
    expect(await timeOf(world, bus.close())).toBe(0);
    expect(consumer.health().status).toBe('closed');
  });

  it('ends a wait for a broker that is down at once', async () => {
    const world = new World();
    const { bus } = await notesOf(world, () => undefined);
    world.broker.stop();
    await world.time.advance(60_000);
    expect(await timeOf(world, bus.close({ deadlineMs: 10_000 }))).toBeLessThanOrEqual(1_000);
  });

  it('gives back at once what was not started', async () => {
    const world = new World();
    const stop = gate();
    const { bus, runs } = await notesOf(world, () => stop.opened, { concurrency: 2 });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    for (const n of range(20)) await bus.publish(Noted, { n });
    await world.time.advance(100);
    expect(world.queue(notes)).toMatchObject({ inFlight: 8, ready: 12 });
    const closing = bus.close();
    await world.time.advance(10);
    expect(world.queue(notes)).toMatchObject({ inFlight: 2, ready: 18 });
    const second = await notesOf(world, () => undefined);
    await world.time.advance(1_000);
    stop.open();
    expect(await timeOf(world, closing)).toBeLessThanOrEqual(100);
    expect([...runs, ...second.runs].toSorted((a, b) => a - b)).toEqual(range(20));
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('lets what runs finish and accepts it', async () => {
    const world = new World();
    const stop = gate();
    const { bus, runs } = await notesOf(world, () => stop.opened);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    const closing = bus.close();
    await world.time.advance(5_000);
    stop.open();
    await world.time.advance(100);
    await closing;
    expect(runs).toEqual([1]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('gives handlers 80 % of its deadline, then aborts their signals and gives their messages back', async () => {
    const world = new World();
    const start = world.time.now();
    let abortedAt = 0;
    let reason: unknown;
    const { bus, seen } = await notesOf(world, (_n, { signal }) => {
      signal.addEventListener('abort', () => {
        abortedAt = world.time.now() - start;
        reason = signal.reason;
      });
      return untilAborted(signal);
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    const took = await timeOf(world, bus.close({ deadlineMs: 10_000 }));
    expect(abortedAt).toBe(8_010);
    expect(reason).toMatchObject({ code: 'CLOSED' });
    expect(took).toBeLessThanOrEqual(8_200);
    expect(world.queue(notes)).toEqual({ ready: 1, inFlight: 0, delayed: 0, dead: 0 });
    expect(seen('handled').map(({ outcome }) => outcome)).toEqual(['dropped']);
  });

  it('takes 25 s by default', async () => {
    const world = new World();
    const start = world.time.now();
    let abortedAt = 0;
    const { bus } = await notesOf(world, (_n, { signal }) => {
      signal.addEventListener('abort', () => (abortedAt = world.time.now() - start));
      return new Promise(() => undefined);
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(0);
    const took = await timeOf(world, bus.close());
    expect(abortedAt).toBe(20_000);
    expect(took).toBeGreaterThan(20_000);
    expect(took).toBeLessThanOrEqual(25_000);
    expect(world.queue(notes)).toMatchObject({ ready: 1, inFlight: 0 });
  });

  it('settles nothing of a handler that returns after it', async () => {
    const world = new World();
    const stop = gate();
    const { bus, seam } = await notesOf(world, () => stop.opened);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    await timeOf(world, bus.close({ deadlineMs: 1_000 }));
    stop.open();
    await world.time.advance(10_000);
    expect(seam.settlements).toEqual([]);
    expect(world.queue(notes)).toMatchObject({ ready: 1 });
  });

  it('dispatches what a handler sent while it closes', async () => {
    const world = new World();
    const stop = gate();
    const { bus } = await notesOf(world, async (_n, { send }) => {
      await stop.opened;
      send(invoices, Render, { n: 1 });
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    const closing = bus.close();
    await world.time.advance(1_000);
    stop.open();
    await world.time.advance(100);
    await closing;
    expect(world.queue(invoices).ready).toBe(1);
    expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  it('retries what fails while it closes', async () => {
    const world = new World();
    const stop = gate();
    const { bus } = await notesOf(world, async () => {
      await stop.opened;
      throw new Error('no');
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    const closing = bus.close();
    stop.open();
    await world.time.advance(10);
    await closing;
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 1, dead: 0 });
  });

  it('keeps its deadline when the broker is stopped', async () => {
    const world = new World();
    const { bus } = await notesOf(world, () => new Promise(() => undefined));
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    world.broker.stop();
    const pending = bus.publish(Noted, { n: 2 });
    const refused = expect(pending).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await timeOf(world, bus.close({ deadlineMs: 5_000 }))).toBeLessThanOrEqual(5_000);
    await refused;
    world.broker.start();
    expect(world.queue(notes)).toMatchObject({ ready: 1, inFlight: 0 });
  });

  it.each(['settle', 'send', 'resize', 'close', 'extend'] as const)(
    'keeps its deadline when the driver hangs at %s',
    async (call) => {
      const world = new World({ capabilities: { reject: 'none' } });
      const hang = (): Promise<void> => new Promise(() => undefined);
      const { bus, seam } = await notesOf(world, (n) => {
        if (n === 1) throw new Error('no');
      });
      const hooks = {
        settle: 'beforeSettle',
        send: 'beforeSend',
        resize: 'beforeResize',
        close: 'beforeClose',
        extend: 'beforeExtend',
      } as const;
      await bus.publish(Noted, { n: 1 });
      await bus.publish(Noted, { n: 2 });
      seam[hooks[call]] = hang;
      await world.time.advance(40_000);
      const pending = bus.publish(Noted, { n: 3 }).catch((error: { code: string }) => error.code);
      await world.time.advance(1);
      expect(await timeOf(world, bus.close({ deadlineMs: 5_000 }))).toBeLessThanOrEqual(5_000);
      expect(await pending).toBe(call === 'send' ? 'TIMEOUT' : undefined);
    },
  );

  it('rejects what is not stored by its end: CLOSED, or TIMEOUT where it may be stored', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    await bus.publish(Noted, { n: 0 });
    seam.beforeSend = () => new Promise(() => undefined);
    const codes = range(2).map((n) => bus.publish(Noted, { n }).catch((error: { code: string }) => error.code));
    await world.time.advance(10);
    seam.beforeSend = () => Promise.reject(unavailable());
    codes.push(bus.send(invoices, Render, { n: 1 }).catch((error: { code: string }) => error.code));
    await world.time.advance(10);
    expect(await timeOf(world, bus.close({ deadlineMs: 2_000 }))).toBeLessThanOrEqual(2_000);
    expect(await Promise.all(codes)).toEqual(['TIMEOUT', 'TIMEOUT', 'CLOSED']);
  });

  it('flushes what was published', async () => {
    const world = new World();
    const { bus } = await notesOf(world, () => undefined);
    const stored = Promise.all(range(100).map((n) => bus.send(invoices, Render, { n })));
    const closing = bus.close();
    await world.time.advance(10);
    await Promise.all([stored, closing]);
    expect(world.queue(invoices).ready).toBe(100);
  });

  it('refuses what comes after', async () => {
    const world = new World();
    const { bus } = await notesOf(world, () => undefined);
    const closing = bus.close();
    await expect(bus.publish(Noted, { n: 1 })).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(bus.send(invoices, Render, { n: 1 })).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(bus.consume(notes, { 'note.taken': () => undefined })).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(bus.redrive(notes)).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(bus.depth(notes)).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(bus.purge(notes, 'dead')).rejects.toMatchObject({ code: 'CLOSED' });
    await closing;
    await expect(bus.publish(Noted, { n: 1 })).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('may be called twice, and ends once all is done', async () => {
    const world = new World();
    const stop = gate();
    const { bus, seam } = await notesOf(world, () => stop.opened);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    const ended: number[] = [];
    const closings = [bus.close().then(() => ended.push(1)), bus.close().then(() => ended.push(2))];
    await world.time.advance(1_000);
    expect(ended).toEqual([]);
    stop.open();
    await world.time.advance(10);
    await Promise.all(closings);
    expect(seam.closes).toBe(1);
    expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
    await bus.close();
  });

  it('happens at the end of an await using block', async () => {
    const world = new World();
    const process = world.process();
    {
      await using bus = process.bus;
      await using consumer = await bus.consume(notes, { 'note.taken': () => undefined });
      expect(consumer.health().status).toBe('up');
    }
    await expect(process.bus.publish(Noted, { n: 1 })).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('ends a consume that is still waiting for its broker', async () => {
    const world = new World();
    const { bus } = world.process();
    world.broker.stop();
    const consuming = expect(bus.consume(notes, { 'note.taken': () => undefined })).rejects.toMatchObject({
      code: 'CLOSED',
    });
    await world.time.advance(1_000);
    expect(await timeOf(world, bus.close({ deadlineMs: 2_000 }))).toBeLessThanOrEqual(2_000);
    await consuming;
  });

  it('waits for handlers of a consumer that was told to close before, within its own deadline', async () => {
    const world = new World();
    const stop = gate();
    const { bus, consumer } = await notesOf(world, () => stop.opened);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    const earlier = consumer.close();
    const closing = bus.close();
    await world.time.advance(1_000);
    stop.open();
    await world.time.advance(10);
    await Promise.all([earlier, closing]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('keeps its own deadline, although a consumer was told to close with a longer one', async () => {
    const world = new World();
    const { bus, consumer } = await notesOf(world, () => new Promise(() => undefined));
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    void consumer.close({ deadlineMs: 60_000 });
    expect(await timeOf(world, bus.close({ deadlineMs: 2_000 }))).toBeLessThanOrEqual(2_000);
  });

  it('is not held up by what was lost meanwhile', async () => {
    const world = new World();
    const { bus, seam, driver } = await notesOf(world, () => undefined);
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    const settling = gate();
    seam.beforeSettle = () => settling.opened;
    for (const n of range(4)) await bus.publish(Noted, { n });
    await world.time.advance(10);
    const closing = bus.close({ deadlineMs: 20_000 });
    await world.time.advance(10);
    driver.connection.cut();
    settling.open();
    expect(await timeOf(world, closing)).toBeLessThanOrEqual(100);
  });
});

describe('close of a consumer', () => {
  it('leaves the bus and other consumers alone', async () => {
    const world = new World();
    const { bus, consumer, runs } = await notesOf(world, () => undefined);
    const rendered: number[] = [];
    await bus.consume(invoices, { 'invoice.render': ({ n }) => void rendered.push(n) });
    await consumer.close();
    await bus.publish(Noted, { n: 1 });
    await bus.send(invoices, Render, { n: 2 });
    await world.time.advance(100);
    expect(runs).toEqual([]);
    expect(rendered).toEqual([2]);
    expect(world.queue(notes).ready).toBe(1);
    expect(bus.health()).toMatchObject({ status: 'up', consumers: [{ queue: 'invoices' }] });
  });

  it('may be called twice, and ends once all is done', async () => {
    const world = new World();
    const stop = gate();
    const { bus, consumer } = await notesOf(world, () => stop.opened);
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    const ended: number[] = [];
    const closings = [consumer.close().then(() => ended.push(1)), consumer.close().then(() => ended.push(2))];
    await world.time.advance(1_000);
    expect(ended).toEqual([]);
    stop.open();
    await world.time.advance(10);
    await Promise.all(closings);
    expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  it('may be followed by another consume of the same queue', async () => {
    const world = new World();
    const { bus, consumer } = await notesOf(world, () => undefined);
    await consumer.close();
    const again: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void again.push(n) });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    expect(again).toEqual([1]);
  });

  it('during its own start leaves no subscription behind', async () => {
    const world = new World({ capabilities: { ordering: 'one-process' } });
    const { bus, seam } = world.process();
    await bus.provision();
    const subscribing = gate();
    seam.beforeSubscribe = () => subscribing.opened;
    const stop = new AbortController();
    const consuming = bus.consume(
      ledger,
      { 'order.placed': () => undefined, 'order.paid': () => undefined },
      { signal: stop.signal },
    );
    await world.time.advance(100);
    stop.abort(new Error('enough'));
    await expect(consuming).rejects.toThrow('enough');
    subscribing.open();
    await world.time.advance(5_000);
    const other = world.process();
    const handled: number[] = [];
    await other.bus.consume(ledger, { 'order.placed': ({ n }) => void handled.push(n), 'order.paid': () => undefined });
    await other.bus.publish(Placed, { key: 'a', n: 1 });
    await world.time.advance(1_000);
    expect(handled).toEqual([1]);
  });

  it('gives back in order what an ordered queue holds, while the first still runs', async () => {
    const world = new World();
    const stop = gate();
    const { bus } = world.process();
    const runs: string[] = [];
    const handlers = (name: string, wait: Promise<void> | undefined) => ({
      'order.placed': async ({ key, n }: { key: string; n: number }) => {
        if (key.startsWith('warm')) return;
        runs.push(`${name} ${key}${n}`);
        await wait;
      },
      'order.paid': () => undefined,
    });
    const consumer = await bus.consume(ledger, handlers('one', stop.opened));
    for (const n of range(20)) await bus.publish(Placed, { key: `warm${n}`, n: 0 });
    await world.time.advance(10);
    for (const n of range(5)) await bus.publish(Placed, { key: 'a', n });
    await world.time.advance(10);
    const two = world.process();
    await two.bus.consume(ledger, handlers('two', undefined));
    const closing = consumer.close();
    await world.time.advance(3_000);
    expect(runs).toEqual(['one a0']);
    stop.open();
    await world.time.advance(1_000);
    await closing;
    expect(runs).toEqual(['one a0', 'two a1', 'two a2', 'two a3', 'two a4']);
  });

  it('in the middle of a long hold takes no time, and another process goes on in order', async () => {
    const world = new World();
    const { bus } = world.process();
    const runs: string[] = [];
    const consumer = await bus.consume(
      ledger,
      {
        'order.placed': ({ key, n }) => {
          if (key.startsWith('warm')) return;
          runs.push(`one ${n}`);
          throw new Error('no');
        },
        'order.paid': () => undefined,
      },
      { retry: { delaysMs: [60_000] } },
    );
    for (const n of range(20)) await bus.publish(Placed, { key: `warm${n}`, n: 0 });
    await world.time.advance(10);
    for (const n of range(3)) await bus.publish(Placed, { key: 'a', n });
    await world.time.advance(10_000);
    expect(await timeOf(world, consumer.close({ deadlineMs: 5_000 }))).toBeLessThanOrEqual(100);
    const two = world.process();
    await two.bus.consume(ledger, {
      'order.placed': ({ n }, { attempt }) => void runs.push(`two ${n}/${attempt}`),
      'order.paid': () => undefined,
    });
    await world.time.advance(1_000);
    expect(runs).toEqual(['one 0', 'two 0/1', 'two 1/1', 'two 2/1']);
  });

  it('gives back what arrived while an asynchronous codec read it', async () => {
    const world = new World();
    const reading = gate();
    const codec = {
      encode: (body: Uint8Array) => body,
      decode: async (body: Uint8Array) => (await reading.opened, body),
    };
    const { bus } = world.process(undefined, { middleware: [{ name: 'slow', codec }] });
    const runs: number[] = [];
    const consumer = await bus.consume(notes, { 'note.taken': ({ n }) => void runs.push(n) });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10);
    await consumer.close({ deadlineMs: 1_000 });
    reading.open();
    await world.time.advance(10_000);
    expect(runs).toEqual([]);
    expect(world.queue(notes)).toMatchObject({ ready: 1, inFlight: 0 });
  });
});

describe('a process', () => {
  const run = promisify(execFile);
  const script = (body: string): readonly string[] => [
    '--input-type=module',
    '--eval',
    `import { createBus, defineEvent, defineQueue } from '@waybill/core';
     import { memory } from '@waybill/memory';
     const Event = defineEvent('e', { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }, { topic: 't' });
     const queue = defineQueue('q', { handles: [Event] });
     const driver = memory();
     const bus = createBus({ source: '/test', driver, uses: [queue] });
     ${body}`,
  ];
  const cwd = new URL('../../../memory', import.meta.url);

  it('ends by itself after close', async () => {
    const { stdout } = await run(
      process.execPath,
      [
        ...script(`
      const consumer = await bus.consume(queue, { e: () => undefined });
      await bus.publish(Event, {});
      await bus.close();
      console.log('closed');
    `),
      ],
      { cwd, timeout: 20_000 },
    );
    expect(stdout).toBe('closed\n');
  });

  it('ends by itself where a bus was only made', async () => {
    const { stdout } = await run(process.execPath, [...script(`console.log('made');`)], { cwd, timeout: 20_000 });
    expect(stdout).toBe('made\n');
  });

  it('ends by itself where something was published', async () => {
    const { stdout } = await run(
      process.execPath,
      [...script(`await bus.publish(Event, {}); console.log('stored');`)],
      { cwd, timeout: 20_000 },
    );
    expect(stdout).toBe('stored\n');
  });

  it('does not end before what it published is stored', async () => {
    const { stdout } = await run(
      process.execPath,
      [
        ...script(`
      driver.broker.stop();
      setTimeout(() => driver.broker.start(), 1_200).unref();
      await bus.publish(Event, {});
      console.log('stored');
    `),
      ],
      { cwd, timeout: 20_000 },
    );
    expect(stdout).toBe('stored\n');
  });

  it.each([
    ['a listing', 'for await (const letter of bus.deadLetters(queue)) console.log(letter);'],
    ['a redrive', 'await bus.redrive(queue);'],
    ['a depth', 'await bus.depth(queue);'],
    ['a purge', "await bus.purge(queue, 'dead');"],
  ])('does not end before %s has, whatever the driver waits for', async (_, call) => {
    const code = `
      const late = (method) => async (...args) => {
        await new Promise((resolve) => setTimeout(resolve, 700).unref());
        return method.apply(driver, args);
      };
      driver.browse = late(driver.browse);
      driver.subscribe = late(driver.subscribe);
      driver.admin.depth = late(driver.admin.depth.bind(driver.admin));
      driver.admin.purge = late(driver.admin.purge.bind(driver.admin));
      ${call}
      console.log('done');
    `;
    const { stdout } = await run(process.execPath, [...script(code)], { cwd, timeout: 20_000 });
    expect(stdout).toBe('done\n');
  });

  it('does not end while it consumes', async () => {
    const { stdout } = await run(
      process.execPath,
      [
        ...script(`
      await bus.consume(queue, { e: async () => { console.log('handled'); void bus.close(); } });
      setTimeout(() => bus.publish(Event, {}), 1_200).unref();
    `),
      ],
      { cwd, timeout: 20_000 },
    );
    expect(stdout).toBe('handled\n');
  });
});

it('no signal handlers are installed', async () => {
  const before = ['SIGTERM', 'SIGINT', 'beforeExit', 'exit', 'uncaughtException', 'unhandledRejection'].map((name) =>
    process.listenerCount(name),
  );
  const world = new World();
  const { bus } = await notesOf(world, () => undefined);
  await bus.publish(Noted, { n: 1 });
  await world.time.advance(10);
  expect(
    ['SIGTERM', 'SIGINT', 'beforeExit', 'exit', 'uncaughtException', 'unhandledRejection'].map((name) =>
      process.listenerCount(name),
    ),
  ).toEqual(before);
  expect(never.aborted).toBe(false);
});
