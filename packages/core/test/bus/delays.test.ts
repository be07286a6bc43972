import { describe, expect, it } from 'vitest';
import type { HandlerContext } from '../../src/index.ts';
import { bookkeepingOf, gate, invoices, letters, range, Render, unavailable, warmUp, World } from './kit.ts';

async function invoicesOf(world: World, act: (n: number, context: HandlerContext) => unknown = () => undefined) {
  const process = world.process();
  const start = world.time.now();
  const handled: { readonly n: number; readonly at: number; readonly attempt: number }[] = [];
  const consumer = await process.bus.consume(invoices, {
    'invoice.render': async ({ n }, context) => {
      handled.push({ n, at: world.time.now() - start, attempt: context.attempt });
      await act(n, context);
    },
  });
  return { ...process, consumer, handled };
}

describe('a delayed send', () => {
  it('comes at its time, long and short, not in the order of sending', async () => {
    const world = new World();
    const { bus, handled } = await invoicesOf(world);
    for (const delayMs of [20_000, 7_000, 2_500, 1_000, 0]) {
      await bus.send(invoices, Render, { n: delayMs }, { delayMs });
    }
    expect(world.queue(invoices)).toMatchObject({ delayed: 4 });
    await world.time.advance(60_000);
    expect(handled.map(({ n, at }) => [n, at])).toEqual([
      [0, 0],
      [1_000, 1_000],
      [2_500, 2_500],
      [7_000, 7_000],
      [20_000, 20_000],
    ]);
  });

  it('carries no bookkeeping where one hop is enough', async () => {
    const world = new World();
    const { bus, seam } = await invoicesOf(world);
    await bus.send(invoices, Render, { n: 1 }, { delayMs: 20_000 });
    expect(seam.sent.map(({ headers, notBefore }) => [headers['waybill'], notBefore])).toEqual([
      [undefined, world.time.now() + 20_000],
    ]);
  });

  it('resolves once it is stored, not once it is due', async () => {
    const world = new World();
    const { bus } = await invoicesOf(world);
    await bus.send(invoices, Render, { n: 1 }, { delayMs: 3_600_000 });
    expect(world.queue(invoices).delayed).toBe(1);
  });

  it('takes no place before what is due', async () => {
    const world = new World();
    const { bus, handled } = await invoicesOf(world);
    for (const n of range(50)) await bus.send(invoices, Render, { n: 1_000 + n }, { delayMs: 60_000 });
    for (const n of range(20)) await bus.send(invoices, Render, { n });
    await world.time.advance(1_000);
    expect(handled).toHaveLength(20);
  });

  it('survives that nobody consumes at its time', async () => {
    const world = new World();
    const { bus, consumer } = await invoicesOf(world);
    await bus.send(invoices, Render, { n: 1 }, { delayMs: 2_000 });
    await consumer.close();
    await world.time.advance(10_000);
    const { handled } = await invoicesOf(world);
    await world.time.advance(100);
    expect(handled.map(({ n }) => n)).toEqual([1]);
  });
});

describe("a delay beyond the broker's longest", () => {
  const options = { capabilities: { maxDelayMs: 3_000 } } as const;

  it('takes several hops, each with its end in the bookkeeping and an id of its own', async () => {
    const world = new World(options);
    const start = world.time.now();
    const { bus, seam, handled, seen } = await invoicesOf(world);
    await bus.send(invoices, Render, { n: 1 }, { delayMs: 7_000, id: 'a' });
    await world.time.advance(6_999);
    expect(handled).toEqual([]);
    await world.time.advance(1);
    expect(handled).toMatchObject([{ at: 7_000, attempt: 1 }]);
    expect(seam.sent.map(({ id }) => id)).toEqual(['a', 'a#h1', 'a#h2']);
    expect(seam.sent.map(({ notBefore }) => (notBefore ?? 0) - start)).toEqual([3_000, 6_000, 7_000]);
    expect(seam.sent.slice(0, 2).map((message) => bookkeepingOf(message)['notBefore'])).toEqual([
      start + 7_000,
      start + 7_000,
    ]);
    expect(seen('waits')).toMatchObject([
      { id: 'a', until: start + 7_000 },
      { id: 'a', until: start + 7_000 },
    ]);
    expect(world.queue(invoices)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it.each([[0], [1_000]])(
    'is never early and hardly late, also with retries, where the broker is coarse by %d ms',
    async (delayErrorMs) => {
      const world = new World({ capabilities: { maxDelayMs: 3_000, delayErrorMs }, deduplicationMs: 3_600_000 });
      const { bus, handled } = await invoicesOf(world, (n, { attempt }) => {
        if (n === 20_000 && attempt < 4) throw new Error('no');
      });
      for (const delayMs of [20_000, 7_000, 2_500, 3_000, 3_001, 1_000, 0]) {
        await bus.send(invoices, Render, { n: delayMs }, { delayMs });
      }
      await world.time.advance(100_000);
      for (const { n, at } of handled.filter(({ attempt }) => attempt === 1)) {
        expect(at).toBeGreaterThanOrEqual(n);
        expect(at).toBeLessThanOrEqual(n + delayErrorMs);
      }
      const retried = handled.filter(({ n }) => n === 20_000);
      expect(retried.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
      for (const [index, least] of [1_000, 5_000, 30_000].entries()) {
        const waited = (retried[index + 1]?.at ?? 0) - (retried[index]?.at ?? 0);
        expect(waited).toBeGreaterThanOrEqual(least);
        expect(waited).toBeLessThanOrEqual(least + delayErrorMs + 1_000);
      }
      expect(world.queue(invoices)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
    },
  );

  it('behind a backlog is late by the backlog once, not at every hop', async () => {
    const world = new World(options);
    const { bus, handled } = await invoicesOf(world, (n) =>
      n >= 0 ? new Promise<void>((resolve) => world.time.after(20, resolve)) : undefined,
    );
    await bus.send(invoices, Render, { n: -1 }, { delayMs: 9_000 });
    for (const n of range(8_000)) void bus.send(invoices, Render, { n });
    await world.until(() => handled.length === 8_001, 120_000);
    const drained = handled.filter(({ n }) => n >= 0).at(-1)?.at ?? 0;
    const delayed = handled.find(({ n }) => n === -1)?.at ?? 0;
    expect(drained).toBeGreaterThan(9_000);
    expect(delayed).toBeGreaterThanOrEqual(9_000);
    expect(delayed).toBeLessThanOrEqual(9_000 + drained + 1_000);
  });

  it('survives a crash between two hops, and a broker that takes no hop for a while', async () => {
    const world = new World(options);
    const first = await invoicesOf(world);
    first.seam.refuse = ({ id }) => (id.includes('#') ? unavailable() : undefined);
    await first.bus.send(invoices, Render, { n: 1 }, { delayMs: 10_000 });
    await world.time.advance(5_000);
    first.kill();
    const second = await invoicesOf(world);
    await world.time.advance(20_000);
    expect([...first.handled, ...second.handled]).toMatchObject([{ n: 1, attempt: 1 }]);
    expect(second.handled[0]?.at).toBe(5_000);
  });

  it('keeps the bytes, and leads to a dead letter like any other', async () => {
    const world = new World(options);
    const { bus, seam } = await invoicesOf(world, () => {
      throw new Error('no');
    });
    await bus.send(invoices, Render, { n: 1, text: 'ä😀' }, { delayMs: 10_000, id: 'a' });
    await world.time.advance(400_000);
    const [letter] = await letters(bus, invoices);
    expect(letter).toMatchObject({
      id: 'a',
      attempts: 5,
      reason: 'handler-failed',
      message: { data: { n: 1, text: 'ä😀' } },
    });
    expect(bookkeepingOf({ headers: letter?.delivery.headers ?? {} })).not.toHaveProperty('notBefore');
    for (const { body } of seam.sent) expect(body).toEqual(seam.sent[0]?.body);
    expect(new Set(seam.sent.map(({ id }) => id)).size).toBe(seam.sent.length);
  });

  it('does not end with the slots of handlers that run', async () => {
    const world = new World(options);
    const stop = gate();
    const { bus, handled } = await invoicesOf(world, (n) => (n >= 0 && n < 100 ? stop.opened : undefined));
    await warmUp(() => bus.send(invoices, Render, { n: -1 }), world.time);
    for (const n of range(15)) await bus.send(invoices, Render, { n });
    await bus.send(invoices, Render, { n: 100 }, { delayMs: 10_000 });
    await world.time.advance(15_000);
    expect(handled.filter(({ n }) => n === 100)).toMatchObject([{ at: 10_010 }]);
    stop.open();
  });
});
