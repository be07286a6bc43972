import { describe, expect, it, vi } from 'vitest';
import { type ClientLine, createBus, type Driver, type ObserveEvent, Reject } from '../../src/index.ts';
import {
  cloudEvent,
  foreign,
  invoices,
  letters,
  never,
  notes,
  Noted,
  range,
  Render,
  unavailable,
  warmUp,
  World,
} from './kit.ts';

describe('observe', () => {
  it('tells of everything sent, with what was not stored and why', async () => {
    const world = new World();
    const { bus, seam, seen } = world.process();
    await bus.provision();
    let refusals = 0;
    seam.refuse = ({ id }) => (id === 'b' && refusals++ === 0 ? unavailable() : undefined);
    const start = world.time.now();
    const publishing = Promise.all(['a', 'b', 'c'].map((id) => bus.send(invoices, Render, { n: 1 }, { id })));
    await world.time.advance(1_000);
    await publishing;
    const sent = seen('sent');
    expect(
      sent.every(
        ({ destination, startedAt, durationMs }) =>
          destination === 'queue "invoices"' && startedAt >= start && durationMs >= 0,
      ),
    ).toBe(true);
    expect(sent.reduce((sum, { count }) => sum + count, 0)).toBe(4);
    expect(sent.filter(({ failed }) => failed > 0)).toMatchObject([{ failed: 1, error: { code: 'UNAVAILABLE' } }]);
    await bus.publish(Noted, { n: 1 });
    expect(seen('sent').at(-1)).toMatchObject({ destination: 'topic "notes"', count: 1, failed: 0 });
  });

  it('tells of every attempt: what, when, how long, how it ended', async () => {
    const world = new World();
    const { bus, seen } = world.process();
    await bus.consume(notes, {
      'note.taken': async ({ n }, { attempt }) => {
        await new Promise<void>((resolve) => world.time.after(30, resolve));
        if (n === 1 && attempt === 1) throw new Error('no');
        if (n === 2) throw new Reject('never');
      },
    });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const start = world.time.now();
    await bus.publish(Noted, { n: 1 }, { id: 'one', traceparent });
    await world.time.advance(3_000);
    await bus.publish(Noted, { n: 2 }, { id: 'two' });
    await world.time.advance(3_000);
    const failed = { queue: 'notes', type: 'note.taken', deliveries: 1 };
    expect(seen('handled')).toMatchObject([
      {
        ...failed,
        id: 'one',
        attempt: 1,
        outcome: 'retried',
        startedAt: start,
        durationMs: 30,
        traceparent,
        error: { message: 'no' },
      },
      { ...failed, id: 'one', attempt: 2, outcome: 'accepted', startedAt: start + 1_030, durationMs: 30, traceparent },
      { ...failed, id: 'two', attempt: 1, outcome: 'dead-lettered', error: { message: 'never' } },
    ]);
    expect(seen('handled')[1]).not.toHaveProperty('error');
    expect(seen('handled')[2]).not.toHaveProperty('traceparent');
    expect(seen('retry-scheduled')).toMatchObject([
      { queue: 'notes', type: 'note.taken', id: 'one', nextAttempt: 2, delayMs: 1_000, error: { message: 'no' } },
    ]);
    expect(seen('dead-lettered')).toMatchObject([
      { queue: 'notes', type: 'note.taken', id: 'two', attempt: 1, reason: 'rejected', error: { message: 'never' } },
    ]);
  });

  it('tells of what no handler saw', async () => {
    const world = new World({ capabilities: { filtersTypes: false } });
    const { bus, seen } = world.process([notes]);
    await bus.consume(notes, { 'note.taken': () => undefined }, { skip: ['invalid'] });
    await world
      .raw()
      .send(
        [
          foreign('notes', 'junk'),
          cloudEvent('notes', { id: 'unfit', data: 'no' }),
          cloudEvent('notes', { id: 'unbound', type: 'other', data: 1 }),
          cloudEvent('notes', { id: 'newer', dataversion: 9, data: { n: 1 } }),
        ],
        never,
      );
    await world.time.advance(100);
    expect(seen('dead-lettered')).toMatchObject([{ type: 'unknown', reason: 'undecodable' }]);
    expect(
      seen('skipped')
        .map(({ id, reason }) => [id, reason])
        .toSorted(),
    ).toEqual([
      ['unbound', 'unbound-type'],
      ['unfit', 'invalid'],
    ]);
    const [wait] = seen('waits');
    expect(wait).toMatchObject({ queue: 'notes', type: 'note.taken', id: 'newer' });
    expect((wait?.until ?? 0) - world.time.now()).toBeGreaterThan(4_800);
  });

  it('tells of a skipped attempt that it was skipped, not accepted', async () => {
    const world = new World();
    const { bus, seen } = world.process();
    await bus.consume(
      notes,
      {
        'note.taken': () => {
          throw new Reject('no');
        },
      },
      { skip: ['rejected'] },
    );
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    expect(seen('skipped')).toMatchObject([{ reason: 'rejected' }]);
    expect(seen('handled')).toMatchObject([{ error: { message: 'no' } }]);
    expect(seen('dead-lettered')).toEqual([]);
    expect(await letters(bus, notes)).toEqual([]);
  });

  it('tells what a consumer is: up, down with the reason, up again, closed', async () => {
    const world = new World();
    const { bus, seen } = world.process();
    await bus.consume(notes, { 'note.taken': () => undefined });
    await world.time.advance(1_000);
    world.broker.stop();
    await world.time.advance(10_000);
    world.broker.start();
    await world.time.advance(10_000);
    await bus.close();
    const statuses = seen('consumer')
      .map(({ status }) => status)
      .filter((status, index, all) => status !== all[index - 1]);
    expect(statuses).toEqual(['up', 'down', 'up', 'closed']);
    expect(seen('consumer').find(({ status }) => status === 'down')).toMatchObject({
      queue: 'notes',
      error: { code: 'UNAVAILABLE' },
    });
  });

  /** A driver whose client logs, with who listens to it. */
  function loggingDriver(world: World) {
    const driver: Driver = world.raw();
    const listeners: ((line: ClientLine) => void)[] = [];
    driver.watch = (listener) => void listeners.push(listener);
    return { driver, listeners };
  }

  it('tells what the client library of the broker logs', async () => {
    const { driver, listeners } = loggingDriver(new World());
    const events: ObserveEvent[] = [];
    const observe = (event: ObserveEvent): void => void events.push(event);
    const bus = createBus({ source: '/test', uses: [notes], driver, observe });
    expect(listeners).toEqual([]);
    await bus.provision();
    await bus.provision('verify');
    await bus.publish(Noted, { n: 1 });
    expect(listeners).toHaveLength(1);
    listeners[0]?.({ level: 'warn', message: 'no leader', fields: { partition: 3 } });
    const expected = {
      name: 'client',
      driver: 'memory',
      level: 'warn',
      message: 'no leader',
      fields: { partition: 3 },
    };
    expect(events.at(-1)).toEqual(expected);
    await bus.close();
  });

  it('listens to a client before the driver is asked for anything', async () => {
    const world = new World();
    const { driver, listeners } = loggingDriver(world);
    world.broker.stop();
    const bus = createBus({ source: '/test', uses: [notes], driver, observe: () => undefined });
    await expect(bus.provision()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(listeners).toHaveLength(1);
    await bus.close();
  });

  it('listens to no client where nobody watches', async () => {
    const { driver, listeners } = loggingDriver(new World());
    const bus = createBus({ source: '/test', uses: [notes], driver });
    await bus.publish(Noted, { n: 1 });
    expect(listeners).toEqual([]);
    await bus.close();
  });

  it('may throw at every event without changing anything', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    let events = 0;
    const { bus } = world.process(undefined, {
      observe: () => {
        events += 1;
        throw new Error('the observer is broken');
      },
    });
    const handled: number[] = [];
    await bus.consume(notes, {
      'note.taken': ({ n }, { attempt }) => {
        handled.push(n);
        if (n === 1 && attempt === 1) throw new Error('no');
        if (n === 2) throw new Reject('no');
      },
    });
    for (const n of [1, 2, 3]) await bus.publish(Noted, { n });
    await world.time.advance(5_000);
    expect(handled.toSorted()).toEqual([1, 1, 2, 3]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 1 });
    expect(events).toBeGreaterThan(6);
  });

  it('nothing is ever printed', async () => {
    const methods = ['log', 'info', 'warn', 'error', 'debug'] as const;
    const printed = methods.map((method) => vi.spyOn(console, method));
    const written = [vi.spyOn(process.stdout, 'write'), vi.spyOn(process.stderr, 'write')];
    const warnings: unknown[] = [];
    const onWarning = (warning: unknown): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const world = new World();
    const { bus, driver } = world.process();
    await bus.consume(notes, {
      'note.taken': ({ n }) => {
        if (n > 0) throw new Error('no');
      },
    });
    await warmUp(() => bus.publish(Noted, { n: -1 }), world.time);
    for (const n of range(50)) await bus.publish(Noted, { n });
    await world.raw().send([foreign('notes', 'junk')], never);
    driver.connection.cut();
    await world.time.advance(400_000);
    await bus.close();
    for (const spy of [...printed, ...written]) expect(spy).not.toHaveBeenCalled();
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });
});
