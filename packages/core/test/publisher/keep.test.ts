// Unit tests of the batcher: `send` is a function scripted by the test. It stands for no broker; those are tested for real.
import { describe, expect, it } from 'vitest';
import type { WaybillErrorCode } from '../../src/driver/index.ts';
import { FINAL_FOR_COPY, FINAL_FOR_SEND, type Guard } from '../../src/runtime/entry.ts';
import { Bench, failure, message, TIMEOUT, turn } from './kit.ts';

interface Kept {
  /** What `done` was called with, each time. */
  readonly ends: unknown[];
}

function keep(
  bench: Bench,
  id: string,
  options: { final?: ReadonlySet<WaybillErrorCode>; guard?: Guard; key?: string } = {},
): Kept {
  const kept: Kept = { ends: [] };
  const { final = FINAL_FOR_COPY, guard = () => 'go', key } = options;
  bench.publisher.keep(message(id, key === undefined ? {} : { key }), { final, guard }, (error) =>
    kept.ends.push(error),
  );
  return kept;
}

const codes = [
  'INVALID_ARGUMENT',
  'INVALID_MESSAGE',
  'UNKNOWN_VERSION',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'CONFLICT',
  'PERMISSION_DENIED',
  'UNSUPPORTED',
  'TOO_LARGE',
  'THROTTLED',
  'UNAVAILABLE',
  'TIMEOUT',
  'LEASE_LOST',
  'CLOSED',
  'UNKNOWN',
] as const satisfies readonly WaybillErrorCode[];

describe('a copy', () => {
  it('is done once, when it is stored', async () => {
    const bench = new Bench();
    const copy = keep(bench, 'a');
    await turn();
    expect(copy.ends).toEqual([]);
    await bench.last.store();
    expect(copy.ends).toEqual([undefined]);
  });

  it('is tried for ever, in batches with what the application publishes', async () => {
    const bench = new Bench();
    const copy = keep(bench, 'a');
    const published = bench.publish('b');
    await turn();
    for (let minute = 0; minute < 200; minute += 1) {
      if (bench.last.open) await bench.last.fail(failure('UNAVAILABLE'));
      await bench.advance(60_000);
    }
    expect(bench.batches[0]).toEqual(['a', 'b']);
    expect(published.outcome).toBe('UNAVAILABLE');
    expect(copy.ends).toEqual([]);
    expect(bench.last.ids).toEqual(['a']);
    await bench.last.store();
    expect(copy.ends).toEqual([undefined]);
  });

  it('has no deadline in an open call either', async () => {
    const bench = new Bench();
    const copy = keep(bench, 'a');
    await turn();
    await bench.advance(10 * TIMEOUT);
    expect(copy.ends).toEqual([]);
    expect(bench.clock.timers).toBe(0);
  });

  it.each(codes)(
    'that fails with %s ends for a copy where it is TOO_LARGE or CLOSED, and is tried again else',
    async (code) => {
      const bench = new Bench();
      const copy = keep(bench, 'a');
      await turn();
      await bench.last.failSome({ a: code });
      if (code === 'TOO_LARGE' || code === 'CLOSED') {
        expect(copy.ends).toEqual([expect.objectContaining({ code })]);
        expect(bench.publisher.pending).toBe(0);
      } else {
        expect(copy.ends).toEqual([]);
        await bench.advance(100);
        expect(bench.last.ids).toEqual(['a']);
        expect(bench.calls).toHaveLength(2);
      }
    },
  );

  it('that fails for good leaves its key free', async () => {
    const bench = new Bench();
    keep(bench, 'a1', { key: 'a' });
    await turn();
    await bench.last.fail(failure('TOO_LARGE'));
    const a2 = keep(bench, 'a2', { key: 'a' });
    await turn();
    await bench.last.store();
    expect(a2.ends).toEqual([undefined]);
  });
});

describe('what a handler sends', () => {
  it('ends with a refusal that cannot get better', () => {
    const final = codes.filter((code) => FINAL_FOR_SEND.has(code));
    expect(final).toEqual([
      'INVALID_ARGUMENT',
      'INVALID_MESSAGE',
      'NOT_FOUND',
      'PERMISSION_DENIED',
      'UNSUPPORTED',
      'TOO_LARGE',
      'CLOSED',
    ]);
  });

  it('is given back its refusal', async () => {
    const bench = new Bench();
    const sent = keep(bench, 'a', { final: FINAL_FOR_SEND });
    await turn();
    await bench.last.failSome({ a: 'NOT_FOUND' });
    expect(sent.ends).toEqual([expect.objectContaining({ code: 'NOT_FOUND' })]);
  });
});

describe('a guard', () => {
  it('that says wait keeps its message until the publisher is poked', async () => {
    const bench = new Bench();
    let verdict: ReturnType<Guard> = 'wait';
    const copy = keep(bench, 'a', { guard: () => verdict });
    bench.publish('b');
    await turn();
    expect(bench.batches).toEqual([['b']]);
    await bench.last.store();
    await bench.advance(60_000);
    expect(bench.batches).toEqual([['b']]);
    bench.publisher.poke();
    await turn();
    expect(bench.batches).toEqual([['b']]);
    verdict = 'go';
    bench.publisher.poke();
    await turn();
    expect(bench.batches).toEqual([['b'], ['a']]);
    await bench.last.store();
    expect(copy.ends).toEqual([undefined]);
  });

  it('lets its message go before what came later, once poked', async () => {
    const bench = new Bench();
    let verdict: ReturnType<Guard> = 'wait';
    const guard = (): ReturnType<Guard> => verdict;
    for (const id of ['a1', 'a2', 'a3']) keep(bench, id, { guard, key: 'a' });
    await turn();
    bench.publish('b');
    verdict = 'go';
    bench.publisher.poke();
    await turn();
    expect(bench.last.ids).toEqual(['a1', 'a2', 'a3', 'b']);
  });

  it('that says drop ends its message with LEASE_LOST, unsent', async () => {
    const bench = new Bench();
    const copy = keep(bench, 'a', { guard: () => 'drop' });
    await turn();
    expect(copy.ends).toEqual([
      expect.objectContaining({ code: 'LEASE_LOST', message: 'The lease behind "a" was lost: nothing is sent.' }),
    ]);
    expect(bench.calls).toHaveLength(0);
    expect(bench.publisher.pending).toBe(0);
  });

  it('is asked again before every try', async () => {
    const bench = new Bench();
    let verdict: ReturnType<Guard> = 'go';
    const copy = keep(bench, 'a', { guard: () => verdict });
    await turn();
    await bench.last.fail(failure('UNAVAILABLE'));
    verdict = 'drop';
    await bench.advance(100);
    expect(bench.calls).toHaveLength(1);
    expect(copy.ends).toEqual([expect.objectContaining({ code: 'LEASE_LOST' })]);
  });

  it('that says wait holds back nobody else', async () => {
    const bench = new Bench();
    keep(bench, 'a', { guard: () => 'wait' });
    for (let index = 0; index < 5; index += 1) {
      const sent = bench.publish(`${index}`);
      await turn();
      await bench.last.store();
      expect(sent.outcome).toBe('stored');
    }
  });
});
