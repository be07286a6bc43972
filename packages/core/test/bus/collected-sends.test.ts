import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ConsumeOptions, defineCommand, defineQueue, type HandlerContext } from '../../src/index.ts';
import { invoices, letters, notes, Noted, Placed, range, Render, unavailable, warmUp, World } from './kit.ts';

async function notesOf(
  world: World,
  act: (n: number, context: HandlerContext) => unknown,
  options: ConsumeOptions = {},
  bus: Parameters<World['process']>[1] = {},
) {
  const process = world.process(undefined, bus);
  const runs: number[] = [];
  await process.bus.consume(
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
  const emitted = () => process.seam.sent.filter(({ target }) => 'queue' in target && target.queue === 'invoices');
  return { ...process, runs, emitted };
}

describe('what a handler sends', () => {
  it('is stored after it returned and before its message is accepted', async () => {
    const world = new World();
    const order: string[] = [];
    const { bus, seam } = await notesOf(world, async (_n, { send, publish }) => {
      send(invoices, Render, { n: 1 });
      publish(Placed, { key: 'a', n: 1 });
      await new Promise<void>((resolve) => world.time.after(100, resolve));
      order.push('returned');
    });
    await bus.publish(Noted, { n: 1 });
    seam.afterSend = (batch) => void order.push(...batch.map(({ type }) => type).toSorted());
    seam.beforeSettle = (batch) => void order.push(...batch.map(({ action }) => action));
    await world.time.advance(1_000);
    expect(order[0]).toBe('returned');
    expect(order.slice(1, 3).toSorted()).toEqual(['invoice.render', 'order.placed']);
    expect(order[3]).toBe('accept');
  });

  it('is nothing when its attempt fails, and all of it once when a later one succeeds', async () => {
    const world = new World();
    const { bus, emitted, runs } = await notesOf(world, (_n, { send, attempt }) => {
      send(invoices, Render, { n: attempt });
      send(invoices, Render, { n: 10 * attempt });
      if (attempt < 3) throw new Error('no');
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(5_900);
    expect(runs).toHaveLength(2);
    expect(emitted()).toEqual([]);
    await world.time.advance(1_000);
    expect(emitted()).toHaveLength(2);
    expect(world.queue(invoices).ready).toBe(2);
  });

  it('has the same ids when a crash repeats the attempt, and other ids for another message or queue', async () => {
    const world = new World();
    const send = (_n: number, context: HandlerContext): void => {
      context.send(invoices, Render, { n: 1 });
      context.send(invoices, Render, { n: 2 });
    };
    const first = await notesOf(world, send);
    first.seam.beforeSettle = () => new Promise(() => undefined);
    await first.bus.publish(Noted, { n: 1 }, { id: 'a' });
    await world.time.advance(100);
    const before = first.emitted().map(({ id }) => id);
    first.kill();
    const second = await notesOf(world, send);
    await world.time.advance(1_000);
    expect(before).toHaveLength(2);
    expect(second.emitted().map(({ id }) => id)).toEqual(before);
    expect(before[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-/);
    await second.bus.publish(Noted, { n: 1 }, { id: 'b' });
    await world.time.advance(1_000);
    expect(new Set(second.emitted().map(({ id }) => id)).size).toBe(4);
  });

  it('may have an id of its own', async () => {
    const world = new World();
    const { bus, emitted } = await notesOf(world, (n, { send }) =>
      send(invoices, Render, { n }, { id: `invoice:${n}` }),
    );
    await bus.publish(Noted, { n: 7 });
    await world.time.advance(100);
    expect(emitted().map(({ id }) => id)).toEqual(['invoice:7']);
  });

  it('is what it was when it was sent, whatever the handler changes later', async () => {
    const world = new World();
    const texts: string[] = [];
    const { bus } = await notesOf(world, async (_n, { send }) => {
      const data = { n: 1, text: 'before' };
      send(invoices, Render, data);
      data.text = 'after';
      await Promise.resolve();
    });
    await bus.consume(invoices, { 'invoice.render': ({ text }) => void texts.push(String(text)) });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    expect(texts).toEqual(['before']);
  });

  it('may be taken out of its context', async () => {
    const world = new World();
    const { bus, emitted } = await notesOf(world, (n, { send }) =>
      [1, 2].forEach((more) => send(invoices, Render, { n: n + more })),
    );
    await bus.publish(Noted, { n: 7 });
    await world.time.advance(100);
    expect(emitted()).toHaveLength(2);
  });

  it('is delayed as asked', async () => {
    const world = new World();
    const handledAt: number[] = [];
    const start = world.time.now();
    const { bus } = await notesOf(world, (n, { send }) => send(invoices, Render, { n }, { delayMs: 30_000 }));
    await bus.consume(invoices, { 'invoice.render': () => void handledAt.push(world.time.now() - start) });
    await bus.publish(Noted, { n: 7 });
    await world.time.advance(60_000);
    expect(handledAt).toEqual([30_000]);
  });

  it('that cannot be stored is tried again without running the handler, while other messages flow', async () => {
    const world = new World();
    const { bus, seam, runs, emitted } = await notesOf(world, (n, { send }) => {
      if (n === 5) send(invoices, Render, { n });
    });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    seam.refuse = ({ target }) => ('queue' in target && target.queue === 'invoices' ? unavailable() : undefined);
    for (const n of range(10)) await bus.publish(Noted, { n });
    await world.time.advance(120_000);
    expect(runs.toSorted((a, b) => a - b)).toEqual(range(10));
    expect(world.queue(notes)).toMatchObject({ inFlight: 1, ready: 0 });
    seam.refuse = undefined;
    await world.time.advance(10_000);
    expect(emitted()).toHaveLength(1);
    expect(runs).toHaveLength(10);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('to a queue that is missing fails the attempt', async () => {
    const world = new World();
    const { bus } = await notesOf(world, (n, { send }) => send(invoices, Render, { n }), {
      retry: { delaysMs: [1_000] },
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    world.broker.queues.delete('invoices');
    await bus.publish(Noted, { n: 2 });
    await world.time.advance(10_000);
    expect(await letters(bus, notes)).toMatchObject([
      { reason: 'handler-failed', attempts: 2, error: { message: expect.stringContaining('invoices') as string } },
    ]);
    expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  it('is reported as what became of it: a refused send is no accepted attempt', async () => {
    const world = new World();
    const { bus, seen } = await notesOf(world, (n, { send }) => send(invoices, Render, { n }), {
      retry: { delaysMs: [] },
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    world.broker.queues.delete('invoices');
    await bus.publish(Noted, { n: 2 });
    await world.time.advance(1_000);
    expect(seen('handled').map(({ outcome }) => outcome)).toEqual(['accepted', 'dead-lettered']);
  });

  it('that is too large, does not fit or is not used here fails the attempt where it is sent', async () => {
    const world = new World({ capabilities: { maxMessageBytes: 32_768 } });
    const thrown: string[] = [];
    const { bus } = await notesOf(world, (n, { send, publish }) => {
      const attempts = [
        () => send(invoices, Render, { n, text: 'x'.repeat(40_000) }),
        () => send(invoices, Render, { n: 'x' } as never),
        () => send(invoices, Noted as never, { n } as never),
        () => publish(Render as never, { n } as never),
        () => send(invoices, Render, { n }, { id: 'has space' }),
      ];
      for (const attempt of attempts) {
        try {
          attempt();
          thrown.push('nothing');
        } catch (error) {
          thrown.push((error as { code: string }).code);
        }
      }
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    expect(thrown).toEqual([
      'TOO_LARGE',
      'INVALID_MESSAGE',
      'INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
    ]);
    expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
    expect(world.queue(invoices).ready).toBe(0);
  });

  it('is dropped with a lease that was lost', async () => {
    const world = new World();
    const { bus, driver, emitted, runs } = await notesOf(world, async (_n, { send, redelivered }) => {
      if (redelivered) return;
      send(invoices, Render, { n: 1 });
      await new Promise<void>((resolve) => world.time.after(1_000, resolve));
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    driver.connection.cut();
    await world.time.advance(10_000);
    expect(runs).toHaveLength(2);
    expect(emitted()).toEqual([]);
  });

  it('in order of one key is stored in that order', async () => {
    const world = new World({ limits: { send: { count: 2 } } });
    const { bus, seam } = await notesOf(world, (_n, { publish }) => {
      for (const n of range(20)) publish(Placed, { key: 'a', n });
    });
    await bus.publish(Noted, { n: 1 });
    await world.until(() => world.queue(notes).inFlight === 0);
    const numbers = seam.sent
      .filter(({ type }) => type === 'order.placed')
      .map(({ body }) => (JSON.parse(new TextDecoder().decode(body)) as { data: { n: number } }).data.n);
    expect(numbers).toEqual(range(20));
  });
});

describe('an asynchronous schema', () => {
  const Checked = defineCommand(
    'checked',
    z.object({ n: z.number().refine(async (n) => (await Promise.resolve(), n < 10)) }),
  );
  const checked = defineQueue('checked', { handles: [Checked] });

  it('refuses what does not fit, as a failed attempt and no unhandled rejection', async () => {
    const unhandled: unknown[] = [];
    const others = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', (reason) => unhandled.push(reason));
    try {
      const world = new World();
      const { bus } = world.process([notes, checked]);
      const runs: number[] = [];
      await bus.consume(
        notes,
        {
          'note.taken': async ({ n }, { send }) => {
            runs.push(n);
            send(checked, Checked, { n });
            await new Promise<void>((resolve) => world.time.after(10, resolve));
            if (n === 21) throw new Error('no');
          },
        },
        { retry: { delaysMs: [] } },
      );
      for (const n of [1, 20, 21]) await bus.publish(Noted, { n });
      await world.time.advance(1_000);
      expect((await letters(bus, notes)).map(({ error }) => error?.name).toSorted()).toEqual(['Error', 'WaybillError']);
      expect(world.queue(checked).ready).toBe(1);
      expect(unhandled).toEqual([]);
    } finally {
      process.removeAllListeners('unhandledRejection');
      for (const listener of others) process.on('unhandledRejection', listener);
    }
  });
});
