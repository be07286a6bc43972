// Unit tests of the batcher: `send` is a function scripted by the test. It stands for no broker; those are tested for real.
import { describe, expect, it } from 'vitest';
import { sizeOf } from '../../src/runtime/entry.ts';
import { Bench, failure, message, TIMEOUT, turn } from './kit.ts';

describe('a batch', () => {
  it('has everything that one turn publishes, in its order', async () => {
    const bench = new Bench();
    const sent = ['a', 'b', 'c'].map((id) => bench.publish(id));
    await turn();
    expect(bench.batches).toEqual([['a', 'b', 'c']]);
    expect(sent.map(({ outcome }) => outcome)).toEqual(['pending', 'pending', 'pending']);
    await bench.last.store();
    expect(sent.map(({ outcome }) => outcome)).toEqual(['stored', 'stored', 'stored']);
  });

  it('gathers while a call is open', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    bench.publish('b');
    await turn();
    bench.publish('c');
    await turn();
    expect(bench.batches).toEqual([['a']]);
    await bench.last.store();
    expect(bench.batches).toEqual([['a'], ['b', 'c']]);
  });

  it('has at most as many messages as the driver takes', async () => {
    const bench = new Bench({ count: 2 });
    for (const id of ['a', 'b', 'c', 'd', 'e']) bench.publish(id);
    await turn();
    await bench.last.store();
    await bench.last.store();
    await bench.last.store();
    expect(bench.batches).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
  });

  it('has at most as many bytes as the driver takes', async () => {
    const bytes = sizeOf(message('a', { bytes: 100 }));
    const bench = new Bench({ bytes: 2 * bytes });
    for (const id of ['a', 'b', 'c']) bench.publish(id, { bytes: 100 });
    await turn();
    await bench.last.store();
    expect(bench.batches).toEqual([['a', 'b'], ['c']]);
  });

  it('has a message alone that is larger than a batch may be: the broker decides on it', async () => {
    const bench = new Bench({ bytes: 200 });
    for (const id of ['a', 'b', 'c']) bench.publish(id, { bytes: id === 'b' ? 500 : 10 });
    await turn();
    await bench.last.store();
    await bench.last.store();
    expect(bench.batches).toEqual([['a'], ['b'], ['c']]);
  });

  it('counts headers and what brokers keep beside the body', () => {
    const bare = sizeOf(message('a', { bytes: 0 }));
    expect(bare).toBe('a'.length + 'order.placed'.length + 'application/json'.length);
    expect(sizeOf(message('a', { bytes: 7, headers: { 'x-a': 'bc', d: '' } }))).toBe(bare + 7 + 5 + 1);
  });

  it('goes out after the check that comes before every batch', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    await bench.last.store();
    bench.publish('b');
    await turn();
    expect(bench.beforeSends).toBe(2);
  });

  it('leaves out what was given up while it waited', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    const stop = new AbortController();
    bench.publish('b', { signal: stop.signal });
    bench.publish('c');
    stop.abort();
    await bench.last.store();
    expect(bench.batches).toEqual([['a'], ['c']]);
  });
});

describe('calls', () => {
  it.each([1, 2, 5])('are at most %d at a time', async (concurrency) => {
    const bench = new Bench({ concurrency, count: 1 });
    const sent = Array.from({ length: 20 }, (_, index) => bench.publish(`${index}`));
    await turn();
    let most = 0;
    while (bench.open.length > 0) {
      most = Math.max(most, bench.open.length);
      await bench.open[0]?.store();
    }
    expect(most).toBe(concurrency);
    expect(sent.every(({ outcome }) => outcome === 'stored')).toBe(true);
    expect(bench.calls).toHaveLength(20);
  });

  it('never have the messages of one key in two that are open', async () => {
    const bench = new Bench({ concurrency: 4, count: 2 });
    for (let index = 0; index < 40; index += 1) bench.publish(`${index}`, { key: `k${index % 5}` });
    await turn();
    while (bench.open.length > 0) {
      const keys = bench.open.flatMap((call) => [...new Set(call.batch.map(({ key }) => key))]);
      expect(new Set(keys).size).toBe(keys.length);
      await bench.open.at(-1)?.store();
    }
    for (const key of ['k0', 'k1', 'k2', 'k3', 'k4']) {
      const order = bench.calls.flatMap((call) =>
        call.batch.filter((sent) => sent.key === key).map(({ id }) => Number(id)),
      );
      expect(order).toEqual(order.toSorted((left, right) => left - right));
      expect(order).toHaveLength(8);
    }
  });

  it('keep the time between two that the driver asks for', async () => {
    const bench = new Bench({ everyMs: 100 });
    bench.publish('a');
    await turn();
    await bench.advance(30);
    await bench.last.store();
    bench.publish('b');
    await bench.advance(69);
    expect(bench.batches).toEqual([['a']]);
    await bench.advance(1);
    expect(bench.batches).toEqual([['a'], ['b']]);
    await bench.last.store();
    await bench.advance(1_000);
    bench.publish('c');
    await turn();
    expect(bench.batches).toEqual([['a'], ['b'], ['c']]);
  });

  it('keep that time also where several may be open', async () => {
    const bench = new Bench({ everyMs: 100, concurrency: 2, count: 1 });
    bench.publish('a');
    bench.publish('b');
    await turn();
    expect(bench.batches).toHaveLength(1);
    await bench.advance(100);
    expect(bench.batches).toHaveLength(2);
  });

  it('wait no longer than that time when the clock goes back', async () => {
    const bench = new Bench({ everyMs: 100 });
    bench.publish('a');
    await turn();
    await bench.last.store();
    bench.clock.jump(-3_600_000);
    bench.publish('b');
    await bench.advance(100);
    expect(bench.batches).toEqual([['a'], ['b']]);
  });
});

describe('events', () => {
  it('say what was sent where, and what of it failed', async () => {
    const bench = new Bench();
    bench.publish('a');
    bench.publish('b', { target: { queue: 'invoices', lane: 'work' } });
    bench.publish('c', { target: { queue: 'invoices', lane: 'dead' } });
    await turn();
    const startedAt = bench.clock.now();
    await bench.advance(7);
    await bench.last.failSome({ b: 'NOT_FOUND' });
    expect(bench.events).toEqual([
      { name: 'sent', destination: 'topic "orders"', count: 1, failed: 0, startedAt, durationMs: 7 },
      {
        name: 'sent',
        destination: 'queue "invoices"',
        count: 1,
        failed: 1,
        startedAt,
        durationMs: 7,
        error: expect.objectContaining({ code: 'NOT_FOUND' }) as unknown,
      },
      { name: 'sent', destination: 'queue "invoices" (dead)', count: 1, failed: 0, startedAt, durationMs: 7 },
    ]);
  });
});

describe('health', () => {
  it('is the last error while nothing is taken, and none once something is', async () => {
    const bench = new Bench();
    expect(bench.publisher.failing).toBeUndefined();
    const error = failure('UNAVAILABLE');
    bench.publish('a');
    await turn();
    await bench.last.fail(error);
    expect(bench.publisher.failing).toBe(error);
    await bench.advance(100);
    await bench.last.store();
    expect(bench.publisher.failing).toBeUndefined();
  });

  it('has no error while nothing is pending, whatever failed before', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    expect(bench.publisher.failing).toMatchObject({ code: 'UNAVAILABLE' });
    for (let passed = 0; passed < TIMEOUT; passed += 1_000) {
      if (bench.last.open) await bench.last.fail(failure('UNAVAILABLE'));
      await bench.advance(1_000);
    }
    expect([bench.publisher.pending, bench.publisher.failing]).toEqual([0, undefined]);
  });

  it('is waiting while a call is open for longer than 3 s', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    await bench.advance(2_999);
    expect(bench.publisher.waiting).toBe(false);
    await bench.advance(1);
    expect(bench.publisher.waiting).toBe(true);
    await bench.last.store();
    expect(bench.publisher.waiting).toBe(false);
  });

  it('counts what is accepted and not yet stored or failed', async () => {
    const bench = new Bench();
    bench.publish('a');
    bench.publish('b');
    expect(bench.publisher.pending).toBe(2);
    await turn();
    await bench.last.failSome({ b: 'UNAVAILABLE' });
    expect(bench.publisher.pending).toBe(1);
    await bench.advance(100);
    await bench.last.store();
    expect(bench.publisher.pending).toBe(0);
  });

  it('is flushed once nothing is pending', async () => {
    const bench = new Bench();
    let flushed = false;
    await bench.publisher.flushed();
    bench.publish('a');
    void bench.publisher.flushed().then(() => (flushed = true));
    await turn();
    expect(flushed).toBe(false);
    await bench.last.store();
    expect(flushed).toBe(true);
  });
});
