// Unit tests of the batcher: `send` is a function scripted by the test. It stands for no broker; those are tested for real.
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { sizeOf } from '../../src/runtime/entry.ts';
import { Bench, failure, message, TIMEOUT, turn } from './kit.ts';

describe('the deadline', () => {
  it('rejects with UNAVAILABLE what was never handed over', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    await bench.advance(1_000);
    const b = bench.publish('b');
    await bench.advance(TIMEOUT - 1);
    expect(b.outcome).toBe('pending');
    await bench.advance(1);
    expect(b.outcome).toBe('UNAVAILABLE');
    expect(b.error).toMatchObject({ message: '"order.placed" (b) to topic "orders" was not stored within 30000 ms.' });
    expect(bench.batches).toEqual([['a']]);
  });

  it('rejects with TIMEOUT what is in an open call', async () => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    await bench.advance(TIMEOUT - 1);
    expect(a.outcome).toBe('pending');
    await bench.advance(1);
    expect(a.outcome).toBe('TIMEOUT');
    expect(a.error).toMatchObject({
      message: '"order.placed" (a) to topic "orders" was not confirmed within 30000 ms: it may be stored or not.',
    });
  });

  it('counts from the call of publish, not from the batch', async () => {
    const bench = new Bench({ everyMs: 20_000 });
    bench.publish('a');
    await turn();
    await bench.last.store();
    await bench.advance(5_000);
    const b = bench.publish('b');
    await bench.advance(15_000);
    expect(bench.last.ids).toEqual(['b']);
    await bench.advance(14_999);
    expect(b.outcome).toBe('pending');
    await bench.advance(1);
    expect(b.outcome).toBe('TIMEOUT');
  });

  it('rejects with UNAVAILABLE and the last error what certainly was not stored', async () => {
    for (const whole of [true, false]) {
      const bench = new Bench();
      const a = bench.publish('a');
      await turn();
      for (let passed = 0; passed < TIMEOUT; passed += 500) {
        const fail = whole
          ? () => bench.last.fail(failure('UNAVAILABLE', 'no route to host'))
          : () => bench.last.failSome({ a: 'UNAVAILABLE' });
        if (bench.last.open) await fail();
        await bench.advance(500);
      }
      expect(a.outcome).toBe('UNAVAILABLE');
      expect(a.error).toMatchObject({
        message: expect.stringContaining(
          whole ? 'The broker said last: no route to host' : 'The broker said last: a was not stored',
        ) as unknown,
        cause: expect.objectContaining({ code: 'UNAVAILABLE' }) as unknown,
      });
    }
  });

  it.each([
    ['a call that ended with TIMEOUT', 'whole', 'TIMEOUT'],
    ['a call that ended with THROTTLED: any of it may be stored', 'whole', 'THROTTLED'],
    ['a failure of its own with TIMEOUT', 'own', 'TIMEOUT'],
  ] as const)('rejects with TIMEOUT what was once in %s', async (_, kind, code) => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    await (kind === 'whole' ? bench.last.fail(failure(code)) : bench.last.failSome({ a: code }));
    await bench.advance(100);
    for (let passed = 0; passed < TIMEOUT; passed += 500) {
      if (bench.last.open) await bench.last.fail(failure('UNAVAILABLE'));
      await bench.advance(500);
    }
    expect(a.outcome).toBe('TIMEOUT');
  });

  it('rejects with UNAVAILABLE what failed alone with THROTTLED: exactly those named are not stored', async () => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    await bench.last.failSome({ a: 'THROTTLED' });
    for (let passed = 0; passed < TIMEOUT; passed += 500) {
      if (bench.last.open) await bench.last.failSome({ a: 'THROTTLED' });
      await bench.advance(500);
    }
    expect(a.outcome).toBe('UNAVAILABLE');
  });

  it('does not reject what was stored in time', async () => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    await bench.advance(TIMEOUT - 1);
    await bench.last.store();
    await bench.advance(TIMEOUT);
    expect(a.outcome).toBe('stored');
  });

  it("is each message's own", async () => {
    const bench = new Bench();
    const sent = [];
    for (let index = 0; index < 5; index += 1) {
      sent.push(bench.publish(`${index}`));
      await bench.advance(1_000);
    }
    await bench.advance(TIMEOUT - 5_000);
    for (let index = 0; index < 5; index += 1) {
      expect(sent.map(({ outcome }) => outcome === 'pending')).toEqual(sent.map((_, other) => other > index));
      await bench.advance(1_000);
    }
  });

  it('has one timer for all, and none once it is past', async () => {
    const bench = new Bench();
    for (let index = 0; index < 1_000; index += 1) bench.publish(`${index}`);
    expect(bench.clock.timers).toBe(1);
    await turn();
    while (bench.open.length > 0) await bench.last.store();
    await bench.advance(TIMEOUT);
    expect(bench.clock.timers).toBe(0);
  });

  it('that passed is not undone by what the call says later', async () => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    await bench.advance(TIMEOUT);
    await bench.last.store();
    expect(a.outcome).toBe('TIMEOUT');
    expect(bench.publisher.pending).toBe(0);
    const b = bench.publish('b');
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    await bench.advance(TIMEOUT);
    expect(b.outcome).not.toBe('pending');
  });
});

describe('a call that the driver never ends', () => {
  it('is aborted once it has lasted as long as a message may wait', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    await bench.advance(TIMEOUT - 1);
    bench.publisher.tick();
    expect(bench.last.signal.aborted).toBe(false);
    await bench.advance(1);
    bench.publisher.tick();
    expect(bench.last.signal.aborted).toBe(true);
  });

  it('leaves the way free once it ended', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    await bench.advance(TIMEOUT - 500);
    const b = bench.publish('b');
    await bench.advance(500);
    bench.publisher.tick();
    await bench.last.fail(bench.last.signal.reason);
    expect(bench.last.ids).toEqual(['b']);
    expect(bench.last.signal.aborted).toBe(false);
    await bench.last.store();
    expect(b.outcome).toBe('stored');
  });

  it('shares its signal with the calls before it', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    await bench.last.store();
    bench.publish('b');
    await turn();
    expect(bench.calls.map(({ signal }) => signal === bench.last.signal)).toEqual([true, true]);
  });
});

describe('a signal', () => {
  it('that has aborted before keeps the message from being sent', async () => {
    const bench = new Bench();
    const reason = new Error('shutting down');
    const a = bench.publish('a', { signal: AbortSignal.abort(reason) });
    await turn();
    expect(a.error).toBe(reason);
    expect(bench.calls).toHaveLength(0);
    expect(bench.publisher.pending).toBe(0);
  });

  it('that aborts ends the wait with its reason, also in an open call', async () => {
    const bench = new Bench();
    const stop = new AbortController();
    const a = bench.publish('a', { signal: stop.signal });
    await turn();
    const b = bench.publish('b', { signal: stop.signal });
    const reason = new Error('shutting down');
    stop.abort(reason);
    await turn();
    expect([a.error, b.error]).toEqual([reason, reason]);
    expect(bench.publisher.pending).toBe(0);
    await bench.last.store();
    expect(bench.calls).toHaveLength(1);
  });

  it('that aborts ends the wait for a retry', async () => {
    const bench = new Bench();
    const stop = new AbortController();
    const a = bench.publish('a', { signal: stop.signal, key: 'a' });
    const b = bench.publish('b', { key: 'a' });
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    stop.abort();
    await turn();
    expect(a.outcome).toBe('other');
    await bench.advance(100);
    expect(bench.last.ids).toEqual(['b']);
    await bench.last.store();
    expect(b.outcome).toBe('stored');
  });

  it('keeps no listener of what is settled', async () => {
    const bench = new Bench();
    const { signal } = new AbortController();
    bench.publish('a', { signal });
    bench.publish('b', { signal });
    await turn();
    expect(getEventListeners(signal, 'abort')).toHaveLength(2);
    await bench.last.failSome({ b: 'TOO_LARGE' });
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    bench.publish('c', { signal });
    await bench.advance(TIMEOUT);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('one signal for many messages', () => {
  it('warns of no leak: an application has one signal for its end', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error): void => void warnings.push(warning);
    process.on('warning', listen);
    const bench = new Bench();
    const { signal } = new AbortController();
    for (let index = 0; index < 100; index += 1) bench.publish(`${index}`, { signal });
    await turn();
    await bench.last.store();
    process.off('warning', listen);
    expect(warnings).toEqual([]);
  });
});

describe('what waits', () => {
  it('is bounded in bytes: more is refused with THROTTLED, and nothing of it is sent', async () => {
    const bytes = sizeOf(message('a', { bytes: 100 }));
    const bench = new Bench({}, { maxPendingBytes: 3 * bytes });
    const sent = ['a', 'b', 'c', 'd'].map((id) => bench.publish(id, { bytes: 100 }));
    await turn();
    expect(sent.map(({ outcome }) => outcome)).toEqual(['pending', 'pending', 'pending', 'THROTTLED']);
    expect(sent[3]?.error).toMatchObject({
      message: `"order.placed" to topic "orders" was not taken: ${3 * bytes} bytes wait to be stored already. Await earlier publishes.`,
    });
    expect(bench.last.ids).toEqual(['a', 'b', 'c']);
    await bench.last.store();
    const late = bench.publish('e', { bytes: 100 });
    await turn();
    await bench.last.store();
    expect(late.outcome).toBe('stored');
  });

  it('may be one message that is larger than the bound', async () => {
    const bench = new Bench({}, { maxPendingBytes: 50 });
    const a = bench.publish('a', { bytes: 500 });
    const b = bench.publish('b', { bytes: 1 });
    await turn();
    await bench.last.store();
    expect([a.outcome, b.outcome]).toEqual(['stored', 'THROTTLED']);
  });

  it('gives its room back however it ends', async () => {
    const bytes = sizeOf(message('a', { bytes: 100 }));
    const bench = new Bench({}, { maxPendingBytes: bytes });
    const ends = [
      async () => bench.last.store(),
      async () => bench.last.fail(failure('TOO_LARGE')),
      async () => {
        await bench.advance(TIMEOUT);
        await bench.last.store();
      },
    ];
    for (const [index, end] of ends.entries()) {
      const sent = bench.publish(`${index}`, { bytes: 100 });
      await turn();
      expect(bench.last.ids).toEqual([`${index}`]);
      await end();
      expect(sent.outcome).not.toBe('pending');
    }
  });

  it("is not the runtime's own copies: they never throttle the application", async () => {
    const bench = new Bench({}, { maxPendingBytes: 1_000 });
    const keep = { final: new Set<never>(), guard: () => 'go' as const };
    for (let index = 0; index < 20; index += 1) {
      bench.publisher.keep(message(`copy-${index}`, { bytes: 100 }), keep, () => undefined);
    }
    const a = bench.publish('a');
    await turn();
    expect(a.outcome).toBe('pending');
  });
});
