import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WaybillError } from '../../src/index.ts';
import { Reject, RetryLater } from '../../src/failure/intent.ts';
import { DEFAULT_RETRY, HandlerTimeout, judge, poisonReason } from '../../src/failure/retry-schedule.ts';
import { backoffMs, DEFAULT_RECONNECT } from '../../src/runtime/backoff.ts';

const failed = new Error('no such order');
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('the retry schedule', () => {
  it('is 1 s, 5 s, 30 s and 5 min with 20 % by default: 5 attempts', () => {
    expect(DEFAULT_RETRY).toEqual({ delaysMs: [1_000, 5_000, 30_000, 300_000], jitter: 0.2 });
    const verdicts = [1, 2, 3, 4, 5].map((attempt) => judge(failed, attempt, DEFAULT_RETRY, () => 0));
    expect(verdicts).toEqual([
      { kind: 'retry', delayMs: 1_000 },
      { kind: 'retry', delayMs: 5_000 },
      { kind: 'retry', delayMs: 30_000 },
      { kind: 'retry', delayMs: 300_000 },
      { kind: 'dead', reason: 'handler-failed' },
    ]);
  });

  it('adds 0 to 20 % and never subtracts', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 43_200_000 }),
        chance,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (delay, random, jitter) => {
          const verdict = judge(failed, 1, { delaysMs: [delay], jitter }, () => random);
          expect(verdict.kind).toBe('retry');
          const delayMs = verdict.kind === 'retry' ? verdict.delayMs : 0;
          expect(delayMs).toBeGreaterThanOrEqual(delay);
          expect(delayMs).toBeLessThanOrEqual(Math.ceil(delay * (1 + jitter)));
          expect(Number.isInteger(delayMs)).toBe(true);
        },
      ),
    );
  });

  it('spreads over the whole of its 20 %', () => {
    const delays = [0, 0.25, 0.5, 0.75, 0.999].map((random) => judge(failed, 1, DEFAULT_RETRY, () => random));
    expect(delays).toMatchObject([
      { delayMs: 1_000 },
      { delayMs: 1_050 },
      { delayMs: 1_100 },
      { delayMs: 1_150 },
      { delayMs: 1_200 },
    ]);
  });

  it('has one attempt more than delays', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 1_000 }), { maxLength: 100 }),
        fc.integer({ min: 1, max: 120 }),
        (delaysMs, attempt) => {
          const verdict = judge(failed, attempt, { delaysMs, jitter: 0.2 }, Math.random);
          expect(verdict.kind).toBe(attempt <= delaysMs.length ? 'retry' : 'dead');
        },
      ),
    );
  });

  it('retries nothing where it is empty', () => {
    expect(judge(failed, 1, { delaysMs: [], jitter: 0 }, () => 0)).toEqual({ kind: 'dead', reason: 'handler-failed' });
  });

  it.each([undefined, null, 'text', 7, { code: 1 }, new WaybillError('INVALID_MESSAGE', 'x')])(
    'retries whatever is thrown: %j',
    (thrown) => {
      expect(judge(thrown, 1, DEFAULT_RETRY, () => 0)).toEqual({ kind: 'retry', delayMs: 1_000 });
    },
  );
});

describe('Reject', () => {
  it('makes a dead letter at once, also of a first attempt', () => {
    expect(judge(new Reject('no such order'), 1, DEFAULT_RETRY, () => 0)).toEqual({ kind: 'dead', reason: 'rejected' });
    expect(judge(new Reject('no such order'), 9, DEFAULT_RETRY, () => 0)).toEqual({ kind: 'dead', reason: 'rejected' });
  });

  it('is an error with its reason and cause', () => {
    const cause = new Error('404');
    expect(new Reject('no such order', { cause })).toMatchObject({ name: 'Reject', message: 'no such order', cause });
  });
});

describe('RetryLater', () => {
  it('waits its own time instead of the schedule, without jitter', () => {
    expect(judge(new RetryLater(12_345), 1, DEFAULT_RETRY, () => 0.9)).toEqual({ kind: 'retry', delayMs: 12_345 });
    expect(judge(new RetryLater(0), 4, DEFAULT_RETRY, () => 0.9)).toEqual({ kind: 'retry', delayMs: 0 });
  });

  it('is a failed attempt like any other', () => {
    expect(judge(new RetryLater(1), 5, DEFAULT_RETRY, () => 0)).toEqual({ kind: 'dead', reason: 'handler-failed' });
  });

  it.each([-1, Number.NaN, Infinity, undefined, '1s'])('takes no %j', (delayMs) => {
    expect(() => new RetryLater(delayMs as number)).toThrow(RangeError);
  });

  it('says how long it waits', () => {
    expect(new RetryLater(500)).toMatchObject({ name: 'RetryLater', message: 'try again in 500 ms', delayMs: 500 });
  });
});

describe('a handler that overran its time', () => {
  it('is retried, and timed-out after the last attempt', () => {
    const timeout = new HandlerTimeout(300_000);
    expect(judge(timeout, 1, DEFAULT_RETRY, () => 0)).toEqual({ kind: 'retry', delayMs: 1_000 });
    expect(judge(timeout, 5, DEFAULT_RETRY, () => 0)).toEqual({ kind: 'dead', reason: 'timed-out' });
    expect(timeout.message).toBe('the handler did not finish within 300000 ms');
  });
});

describe('poisonReason', () => {
  it('names the reason of what never gets to a handler', () => {
    expect(poisonReason(new WaybillError('INVALID_MESSAGE', 'x'))).toBe('invalid');
    expect(poisonReason(new WaybillError('UNKNOWN_VERSION', 'x'))).toBe('unknown-version');
    expect(poisonReason(new WaybillError('TIMEOUT', 'x'))).toBeUndefined();
    expect(poisonReason(new Error('x'))).toBeUndefined();
  });
});

describe('the wait between calls to a broker that does not answer', () => {
  it('doubles from its minimum to its maximum', () => {
    const waits = [1, 2, 3, 4, 5, 6, 7, 8, 100].map((failures) => backoffMs(failures, DEFAULT_RECONNECT, () => 0));
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
  });

  it('adds 0 to 20 % and never subtracts', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000 }), chance, (failures, random) => {
        const least = backoffMs(failures, DEFAULT_RECONNECT, () => 0);
        const wait = backoffMs(failures, DEFAULT_RECONNECT, () => random);
        expect(wait).toBeGreaterThanOrEqual(least);
        expect(wait).toBeLessThanOrEqual(Math.ceil(least * 1.2));
        expect(wait).toBeLessThanOrEqual(6_000);
      }),
    );
  });
});
