// Unit tests of the batcher: `send` is a function scripted by the test. It stands for no broker; those are tested for real.
import v8 from 'node:v8';
import vm from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Bench, failure, message, TIMEOUT, turn } from './kit.ts';

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc') as () => void;

/** Longer than a busy machine's collector needs. */
const COLLECTED_MS = 5_000;

/**
 * How many are alive once at most `wanted` are, or when the time is up. One collection is not always enough: what marking
 * or compiling in another thread still holds goes with a later one.
 */
async function alive(references: readonly WeakRef<object>[], wanted: number): Promise<number> {
  const deadline = performance.now() + COLLECTED_MS;
  for (;;) {
    // Looking at a reference keeps its object until the turn ends.
    await turn();
    collect();
    const count = references.filter((reference) => reference.deref() !== undefined).length;
    if (count <= wanted || performance.now() >= deadline) return count;
  }
}

/** Without a key, with one, and with a signal that aborts before anything of it is stored. */
async function publishAll(bench: Bench): Promise<WeakRef<object>[]> {
  const references: WeakRef<object>[] = [];
  for (let index = 0; index < 300; index += 1) {
    const given = message(`${index}`, { bytes: 1_000, ...(index % 3 === 0 ? {} : { key: `k${index % 7}` }) });
    references.push(new WeakRef(given.body));
    void bench.watch(given.id, bench.publisher.publish(given, index % 30 === 2 ? AbortSignal.timeout(0) : undefined));
  }
  await turn();
  return references;
}

async function failSomeOf(bench: Bench): Promise<void> {
  for (const call of bench.open) {
    const failing = call.ids.filter((_, index) => index % 2 === 0);
    const codes = failing.map((id, index) => [id, index % 3 === 0 ? 'TOO_LARGE' : 'UNAVAILABLE'] as const);
    await call.failSome(Object.fromEntries(codes));
  }
}

async function settleAll(bench: Bench): Promise<void> {
  for (let passed = 0; passed < TIMEOUT + 10_000; passed += 1_000) {
    const [call] = bench.open;
    if (call !== undefined) await (passed % 2_000 === 0 ? call.fail(failure('UNAVAILABLE')) : call.store());
    await bench.advance(1_000);
  }
  while (bench.open.length > 0) await bench.open[0]?.store();
}

describe('what is settled', () => {
  it('is forgotten, however it ended', async () => {
    const bench = new Bench({ concurrency: 2 }, { observe: undefined });
    const references = await publishAll(bench);
    await failSomeOf(bench);
    await settleAll(bench);
    expect(bench.publisher.pending).toBe(0);
    bench.calls.length = 0;
    expect(await alive(references, 0)).toBe(0);
    expect(bench.clock.timers).toBe(0);
  });

  it('is forgotten while others still wait in the same call', async () => {
    const bench = new Bench({ count: 100 });
    const references: WeakRef<object>[] = [];
    for (let index = 0; index < 10_000; index += 1) {
      const given = message(`${index}`, { bytes: 10 });
      references.push(new WeakRef(given));
      void bench.watch(`${index}`, bench.publisher.publish(given, undefined));
    }
    await turn();
    // 9,000 of 10,000 are stored.
    for (let call = 0; call < 90; call += 1) {
      const { last } = bench;
      bench.calls.length = 0;
      await last.store();
    }
    // The queue is cut from time to time, not at every message.
    const waitingOrUncut = 1_000 + 4_096 + 200;
    expect(await alive(references, waitingOrUncut)).toBeLessThanOrEqual(waitingOrUncut);
    expect(bench.publisher.pending).toBe(1_000);
  });
});
