import { describe, expect, it } from 'vitest';
import { invoices, ledger, letters, notes, Noted, Placed, range, Render, World } from './kit.ts';

describe('a broker that restarts', () => {
  it('in the middle of publishing and handling loses nothing', async () => {
    const world = new World();
    const { bus, consumer, handled } = await working(world);
    const publishing = range(300).map((n) => bus.publish(Noted, { n }));
    for (let restart = 0; restart < 4; restart += 1) {
      await world.time.advance(700);
      world.broker.stop();
      await world.time.advance(3_000);
      world.broker.start();
    }
    await world.time.advance(60_000);
    await Promise.all(publishing);
    expect(new Set(handled)).toEqual(new Set(range(300)));
    expect(consumer.health()).toMatchObject({ status: 'up', held: 0, running: 0 });
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('is down in health at once and up again soon after', async () => {
    const world = new World();
    const { bus } = await working(world);
    expect(bus.health().status).toBe('up');
    world.broker.stop();
    await world.time.advance(10);
    expect(bus.health()).toMatchObject({
      status: 'down',
      consumers: [{ status: 'down', error: { code: 'UNAVAILABLE' } }],
    });
    await world.time.advance(600_000);
    expect(bus.health().status).toBe('down');
    world.broker.start();
    await world.time.advance(9_000);
    expect(bus.health()).toMatchObject({ status: 'up' });
    expect(bus.health().consumers[0]).not.toHaveProperty('error');
  });

  it('is asked again without pause of more than 6 s, and without haste', async () => {
    const world = new World();
    const { bus, seam } = await working(world);
    world.broker.stop();
    let calls = 0;
    const attempts: number[] = [];
    seam.beforeSend = () => {
      calls += 1;
      attempts.push(world.time.now());
    };
    void bus.publish(Noted, { n: 1 }).catch(() => undefined);
    await world.time.advance(29_000);
    expect(calls).toBeGreaterThanOrEqual(6);
    expect(calls).toBeLessThanOrEqual(20);
    for (const [index, at] of attempts.entries()) {
      if (index > 0) expect(at - (attempts[index - 1] ?? 0)).toBeLessThanOrEqual(6_000);
    }
  });

  it('gets back what was decided while it was away', async () => {
    const world = new World({ leaseMs: Number.POSITIVE_INFINITY });
    const { bus } = world.process();
    const attempts: number[] = [];
    await bus.consume(notes, {
      'note.taken': async (_data, { attempt }) => {
        attempts.push(attempt);
        await new Promise<void>((resolve) => world.time.after(1_000, resolve));
        if (attempts.length === 1) throw new Error('no');
      },
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(500);
    world.broker.stop();
    await world.time.advance(10_000);
    world.broker.start();
    await world.time.advance(30_000);
    expect(attempts).toEqual([1, 1]);
    expect(await letters(bus, notes)).toEqual([]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });
});

describe('a connection that is cut', () => {
  it('again and again, while handlers run, loses nothing and hardly repeats', async () => {
    const world = new World();
    const { bus, driver, handled } = await working(world);
    for (const n of range(500)) await bus.publish(Noted, { n });
    for (let cut = 0; cut < 10; cut += 1) {
      await world.time.advance(50);
      driver.connection.cut();
      await world.time.advance(200);
    }
    await world.time.advance(60_000);
    expect(new Set(handled)).toEqual(new Set(range(500)));
    expect(handled.length).toBeLessThanOrEqual(500 + 10 * 64);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('keeps the order of each key', async () => {
    const world = new World();
    const { bus, driver } = world.process();
    const firsts = new Map<string, number[]>();
    await bus.consume(ledger, {
      'order.placed': async ({ key, n }) => {
        await new Promise<void>((resolve) => world.time.after(7, resolve));
        const seen = firsts.get(key) ?? [];
        if (!seen.includes(n)) seen.push(n);
        firsts.set(key, seen);
      },
      'order.paid': () => undefined,
    });
    for (const n of range(40)) for (const key of ['a', 'b', 'c', 'd', 'e']) await bus.publish(Placed, { key, n });
    for (let cut = 0; cut < 8; cut += 1) {
      await world.time.advance(60);
      driver.connection.cut();
    }
    await world.time.advance(60_000);
    expect(firsts.size).toBe(5);
    for (const numbers of firsts.values()) expect(numbers).toEqual(range(40));
    expect(world.queue(ledger)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  it('of one process leaves others, and other queues, alone', async () => {
    const world = new World();
    const one = await working(world);
    const two = await working(world);
    const rendered: number[] = [];
    await two.bus.consume(invoices, { 'invoice.render': ({ n }) => void rendered.push(n) });
    for (const n of range(100)) await two.bus.publish(Noted, { n });
    one.driver.connection.cut();
    await two.bus.send(invoices, Render, { n: 1 });
    await world.time.advance(10_000);
    expect(two.bus.health().status).toBe('up');
    expect(two.seen('lease-lost')).toEqual([]);
    expect(rendered).toEqual([1]);
    expect(new Set([...one.handled, ...two.handled])).toEqual(new Set(range(100)));
  });
});

describe('a process that is killed', () => {
  it.each(['send', 'settle'] as const)('at any moment of its %ss loses nothing', async (call) => {
    for (const at of range(12)) {
      const world = new World({ capabilities: { reject: 'none' } });
      const succeeded = new Set<number>();
      const start = async (killAt: number | undefined) => {
        const process = world.process();
        let calls = 0;
        const count = (): void => {
          calls += 1;
          if (calls === killAt) process.kill();
        };
        await process.bus.consume(
          notes,
          {
            'note.taken': async ({ n }, { attempt }) => {
              await Promise.resolve();
              if (n % 5 === 0) throw new Error('for ever');
              if (n % 3 === 0 && attempt === 1) throw new Error('once');
              succeeded.add(n);
            },
          },
          { retry: { delaysMs: [100] } },
        );
        if (call === 'send') process.seam.afterSend = count;
        else process.seam.beforeSettle = count;
        return process;
      };
      const publisher = world.process();
      for (const n of range(60)) await publisher.bus.publish(Noted, { n }, { id: `n${n}` });
      await start(at + 1);
      await world.time.advance(500);
      await start(undefined);
      await world.time.advance(5_000);
      const dead = (await letters(publisher.bus, notes)).map(({ id }) => Number(id.slice(1)));
      expect([...succeeded].toSorted((a, b) => a - b)).toEqual(range(60).filter((n) => n % 5 !== 0));
      expect(dead.toSorted((a, b) => a - b)).toEqual(range(60).filter((n) => n % 5 === 0));
      expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0, delayed: 0 });
      await world.end();
    }
  });
});

async function working(world: World) {
  const process = world.process();
  const handled: number[] = [];
  const consumer = await process.bus.consume(notes, {
    'note.taken': async ({ n }) => {
      await new Promise<void>((resolve) => world.time.after(20, resolve));
      handled.push(n);
    },
  });
  return { ...process, consumer, handled };
}
