// Unit tests of the batcher: `send` is a function scripted by the test. It stands for no broker; those are tested for real.
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { BatchError, type OutgoingMessage, type WaybillError } from '../../src/driver/index.ts';
import { Bench, failure, type Sent, TIMEOUT, turn } from './kit.ts';

const original = Array.prototype.slice;

describe('a message that failed', () => {
  it('is tried again, after a wait that doubles', async () => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    for (const wait of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
      const calls = bench.calls.length;
      await bench.last.fail(failure('UNAVAILABLE'));
      await bench.advance(wait - 1);
      expect(bench.calls).toHaveLength(calls);
      await bench.advance(1);
      expect(bench.calls).toHaveLength(calls + 1);
    }
    await bench.last.store();
    expect(a.outcome).toBe('stored');
  });

  it('goes before everything of its key, and all of it stays in order', async () => {
    const bench = new Bench({ count: 3 });
    const sent = ['a1', 'a2', 'a3', 'a4', 'a5'].map((id) => bench.publish(id, { key: 'a' }));
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    bench.publish('a6', { key: 'a' });
    await turn();
    expect(bench.batches).toEqual([['a1', 'a2', 'a3']]);
    await bench.advance(100);
    await bench.last.store();
    await bench.last.store();
    expect(bench.batches).toEqual([
      ['a1', 'a2', 'a3'],
      ['a1', 'a2', 'a3'],
      ['a4', 'a5', 'a6'],
    ]);
    expect(sent.every(({ outcome }) => outcome === 'stored')).toBe(true);
  });

  it('holds back its key and no other', async () => {
    const bench = new Bench();
    const a1 = bench.publish('a1', { key: 'a' });
    const b1 = bench.publish('b1', { key: 'b' });
    const bare = bench.publish('bare');
    await turn();
    await bench.last.failSome({ a1: 'UNAVAILABLE' });
    expect([a1, b1, bare].map(({ outcome }) => outcome)).toEqual(['pending', 'stored', 'stored']);
    const a2 = bench.publish('a2', { key: 'a' });
    const b2 = bench.publish('b2', { key: 'b' });
    bench.publish('bare2');
    await turn();
    expect(bench.last.ids).toEqual(['b2', 'bare2']);
    await bench.last.store();
    expect([a2.outcome, b2.outcome]).toEqual(['pending', 'stored']);
    await bench.advance(100);
    expect(bench.last.ids).toEqual(['a1', 'a2']);
  });

  it('holds back its key of its topic and no other', async () => {
    const bench = new Bench();
    bench.publish('a1', { key: 'a' });
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    bench.publish('other-topic', { key: 'a', target: { topic: 'payments' } });
    bench.publish('queue', { key: 'a', target: { queue: 'orders', lane: 'work' } });
    bench.publish('dead', { key: 'a', target: { queue: 'orders', lane: 'dead' } });
    await turn();
    expect(bench.last.ids).toEqual(['other-topic', 'queue', 'dead']);
  });

  it('without a key holds nothing back', async () => {
    const bench = new Bench();
    bench.publish('a');
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    bench.publish('b');
    await turn();
    expect(bench.last.ids).toEqual(['b']);
  });

  it('that fails again keeps its place', async () => {
    const bench = new Bench();
    for (const id of ['a1', 'a2']) bench.publish(id, { key: 'a' });
    await turn();
    await bench.last.failSome({ a1: 'UNAVAILABLE', a2: 'UNAVAILABLE' });
    bench.publish('a3', { key: 'a' });
    await bench.advance(100);
    expect(bench.last.ids).toEqual(['a1', 'a2', 'a3']);
    await bench.last.failSome({ a2: 'UNAVAILABLE', a3: 'UNAVAILABLE' });
    bench.publish('a4', { key: 'a' });
    await bench.advance(200);
    expect(bench.last.ids).toEqual(['a2', 'a3', 'a4']);
  });

  it('for good is rejected, and its key goes on', async () => {
    const bench = new Bench();
    const [a1, a2] = ['a1', 'a2'].map((id) => bench.publish(id, { key: 'a' })) as [Sent, Sent];
    await turn();
    await bench.last.failSome({ a1: 'TOO_LARGE' });
    expect([a1.outcome, a2.outcome]).toEqual(['TOO_LARGE', 'stored']);
    const a3 = bench.publish('a3', { key: 'a' });
    await turn();
    await bench.last.store();
    expect(a3.outcome).toBe('stored');
  });

  it('for good after a wait lets its key go on', async () => {
    const bench = new Bench();
    const [a1, a2] = ['a1', 'a2'].map((id) => bench.publish(id, { key: 'a' })) as [Sent, Sent];
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    await bench.advance(100);
    await bench.last.failSome({ a1: 'NOT_FOUND', a2: 'UNAVAILABLE' });
    expect(a1.outcome).toBe('NOT_FOUND');
    await bench.advance(200);
    await bench.last.store();
    expect(a2.outcome).toBe('stored');
  });

  it('at its deadline lets its key go on', async () => {
    const bench = new Bench();
    const a1 = bench.publish('a1', { key: 'a' });
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    await bench.advance(50);
    const a2 = bench.publish('a2', { key: 'a' });
    const end = bench.clock.now() + TIMEOUT;
    while (bench.clock.now() < end) {
      if (bench.last.open) await bench.last.fail(failure('UNAVAILABLE'));
      await bench.advance(50);
    }
    expect([a1.outcome, a2.outcome]).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    const a3 = bench.publish('a3', { key: 'a' });
    await bench.advance(5_000);
    expect(bench.last.ids).toEqual(['a3']);
    await bench.last.store();
    expect(a3.outcome).toBe('stored');
  });

  it.each([
    'INVALID_ARGUMENT',
    'NOT_FOUND',
    'TOO_LARGE',
    'PERMISSION_DENIED',
    'UNSUPPORTED',
    'UNKNOWN',
    'CONFLICT',
  ] as const)('with %s is rejected at once with what the broker said', async (code) => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    const error = failure(code);
    await bench.last.fail(error);
    expect(a.error).toBe(error);
    await bench.advance(TIMEOUT);
    expect(bench.calls).toHaveLength(1);
  });

  it.each(['UNAVAILABLE', 'THROTTLED', 'TIMEOUT'] as const)('with %s is tried again', async (code) => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    await bench.last.fail(failure(code));
    await bench.advance(100);
    await bench.last.store();
    expect(a.outcome).toBe('stored');
  });

  it('with something that is no error of ours is UNKNOWN, with the cause', async () => {
    const bench = new Bench();
    const a = bench.publish('a');
    await turn();
    const cause = new TypeError('no such function');
    await bench.last.fail(cause);
    expect(a.error).toMatchObject({
      code: 'UNKNOWN',
      message: expect.stringContaining('no such function') as unknown,
      cause,
    });
  });

  it('loses nothing when a thousand fail one by one', async () => {
    const bench = new Bench({ count: 1_000 });
    const sent = Array.from({ length: 1_000 }, (_, index) => bench.publish(`${index}`));
    await turn();
    await bench.last.failSome(Object.fromEntries(sent.map(({ id }) => [id, 'UNAVAILABLE' as const])));
    await bench.advance(100);
    while (bench.open.length > 0) await bench.last.store();
    expect(sent.every(({ outcome }) => outcome === 'stored')).toBe(true);
  });
});

describe('many messages that failed', () => {
  it('go back in front of those that wait all at once: their cost does not grow with the queue', async () => {
    const bench = new Bench({ count: 200 });
    for (let index = 0; index < 5_000; index += 1) bench.publish(`${index}`);
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    // The next call keeps the lane busy until the failed ones come back.
    let copied = 0;
    const slice = vi.spyOn(Array.prototype, 'slice').mockImplementation(function (this: unknown[], ...range) {
      const part = original.apply(this, range);
      copied += part.length;
      return part;
    });
    await bench.advance(100);
    slice.mockRestore();
    expect(copied).toBeLessThan(5 * 5_000);
  });
});

interface Fault {
  readonly kind: 'store' | 'all' | 'some';
  readonly code: 'UNAVAILABLE' | 'TIMEOUT' | 'THROTTLED';
  /** How many of the batch are stored although the call fails: TIMEOUT only. */
  readonly stored: number;
  readonly failing: readonly number[];
  readonly lastsMs: number;
}

const fault: fc.Arbitrary<Fault> = fc.record({
  kind: fc.constantFrom('store' as const, 'all' as const, 'some' as const),
  code: fc.constantFrom('UNAVAILABLE' as const, 'TIMEOUT' as const, 'THROTTLED' as const),
  stored: fc.nat({ max: 4 }),
  failing: fc.array(fc.nat({ max: 5 }), { maxLength: 4 }),
  lastsMs: fc.nat({ max: 200 }),
});

/** Stores as the seam says: one key's in batch order, so what follows a failed one of its key is not stored either. */
class Store {
  readonly order: string[] = [];
  readonly refused: ReadonlySet<string>;
  readonly faults: Iterator<Fault>;

  constructor(faults: readonly Fault[], refused: ReadonlySet<string>) {
    this.faults = faults[Symbol.iterator]();
    this.refused = refused;
  }

  /** Stores what it stores of a batch; what `send` then rejects with, if it does. */
  take(batch: readonly OutgoingMessage[], { kind, code, stored, failing }: Fault): WaybillError | undefined {
    if (kind === 'all') {
      if (code === 'TIMEOUT') for (const sent of batch.slice(0, stored)) this.#add(sent);
      return failure(code);
    }
    const failedKeys = new Set<string>();
    const failures: { index: number; error: WaybillError }[] = [];
    for (const [index, sent] of batch.entries()) {
      const fails =
        kind === 'some' && (failing.includes(index) || (sent.key !== undefined && failedKeys.has(sent.key)));
      if (this.refused.has(sent.id)) failures.push({ index, error: failure('TOO_LARGE') });
      else if (fails) {
        failures.push({ index, error: failure(code) });
        if (sent.key !== undefined) failedKeys.add(sent.key);
      } else this.#add(sent);
    }
    return failures.length === 0 ? undefined : new BatchError(failures, batch.length);
  }

  #add({ id }: OutgoingMessage): void {
    if (!this.order.includes(id)) this.order.push(id);
  }
}

describe('whatever fails', () => {
  it('stores the messages of each key in the order of their calls, and every message is stored or rejected', async () => {
    const published = fc.record({
      key: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
      pauseMs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: 50 })),
      refused: fc.nat({ max: 9 }).map((value) => value === 0),
    });
    const limit = fc.record({
      count: fc.integer({ min: 1, max: 5 }),
      concurrency: fc.integer({ min: 1, max: 3 }),
      everyMs: fc.constantFrom(0, 0, 20),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(published, { minLength: 1, maxLength: 25 }),
        fc.array(fault, { maxLength: 25 }),
        limit,
        async (messages, faults, limits) => {
          const refused = new Set(messages.flatMap((given, index) => (given.refused ? [`${index}`] : [])));
          const store = new Store(faults, refused);
          const send = async (batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> =>
            new Promise((resolve, reject) => {
              expect(signal.aborted).toBe(false);
              const next = store.faults.next();
              const now: Fault =
                next.done === true
                  ? { kind: 'store', code: 'UNAVAILABLE', stored: 0, failing: [], lastsMs: 0 }
                  : next.value;
              bench.clock.after(now.lastsMs, () => {
                const error = store.take(batch, now);
                if (error === undefined) resolve();
                else reject(error);
              });
            });
          const bench = new Bench(limits, { send, reconnect: { minMs: 10, maxMs: 80 }, timeoutMs: 1_500 });
          const sent: Sent[] = [];
          const step = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
          for (const [index, { key, pauseMs }] of messages.entries()) {
            sent.push(bench.publish(`${index}`, key === undefined ? {} : { key }));
            if (pauseMs === 0) continue;
            bench.clock.advance(pauseMs);
            await step();
          }
          for (let round = 0; bench.publisher.pending > 0 && round < 2_000; round += 1) {
            await step();
            bench.clock.advance(5);
          }
          await turn();
          expect(bench.publisher.pending).toBe(0);
          for (const [index, { outcome }] of sent.entries()) {
            const isStored = store.order.includes(`${index}`);
            if (outcome === 'stored') expect(isStored).toBe(true);
            else if (outcome === 'UNAVAILABLE') expect(isStored).toBe(false);
            else if (outcome === 'TOO_LARGE') expect(refused.has(`${index}`)).toBe(true);
            else expect(outcome).toBe('TIMEOUT');
          }
          for (const key of ['a', 'b', 'c']) {
            const order = store.order.map(Number).filter((index) => messages[index]?.key === key);
            expect(order).toEqual(order.toSorted((left, right) => left - right));
          }
          bench.clock.advance(2_000);
          expect(bench.clock.timers).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('many keys', () => {
  it('use all calls that may be open', async () => {
    const bench = new Bench({ concurrency: 8 });
    for (let index = 0; index < 200; index += 1) bench.publish(`${index}`, { key: `customer-${index}` });
    await turn();
    expect(bench.open).toHaveLength(8);
  });
});
