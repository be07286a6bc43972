import { describe, expect, it } from 'vitest';
import { closeTimes, DEFAULT_CLOSE_MS, settledBy } from '../../src/failure/close.ts';
import { StillClock } from '../driver/kit.ts';

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('closeTimes', () => {
  it('gives handlers 80 % of 25 s by default', () => {
    const clock = new StillClock(1_000_000);
    expect(DEFAULT_CLOSE_MS).toBe(25_000);
    expect(closeTimes(clock)).toEqual({ abortAt: 1_020_000, handlersBy: 1_024_500, deadlineMs: 1_025_000 });
  });

  it('gives handlers 80 % of any other time', () => {
    expect(closeTimes(new StillClock(0), 5_000)).toEqual({ abortAt: 4_000, handlersBy: 4_500, deadlineMs: 5_000 });
    expect(closeTimes(new StillClock(0), 1_000)).toEqual({ abortAt: 800, handlersBy: 900, deadlineMs: 1_000 });
    expect(closeTimes(new StillClock(7), 0)).toEqual({ abortAt: 7, handlersBy: 7, deadlineMs: 7 });
  });
});

describe('settledBy', () => {
  it('is true when the work ends in time, and leaves no timer', async () => {
    const clock = new StillClock(0);
    expect(await settledBy(clock, 1_000, Promise.resolve('done'))).toBe(true);
    expect(clock.timers).toBe(0);
  });

  it('is true when the work fails in time, and never rejects', async () => {
    const clock = new StillClock(0);
    expect(await settledBy(clock, 1_000, Promise.reject(new Error('no')))).toBe(true);
    expect(clock.timers).toBe(0);
  });

  it('is false at its time, not before', async () => {
    const clock = new StillClock(0);
    let settled: boolean | undefined;
    void settledBy(clock, 1_000, new Promise(() => undefined)).then((value) => (settled = value));
    clock.advance(999);
    await turn();
    expect(settled).toBeUndefined();
    clock.advance(1);
    await turn();
    expect(settled).toBe(false);
  });

  it('is false at once where its time is past', async () => {
    const clock = new StillClock(5_000);
    const settled = settledBy(clock, 1_000, new Promise(() => undefined));
    clock.advance(0);
    expect(await settled).toBe(false);
  });

  it('takes work that fails after its time without an unhandled rejection', async () => {
    const clock = new StillClock(0);
    let fail: (error: Error) => void = () => undefined;
    const settled = settledBy(clock, 10, new Promise((_, reject) => (fail = reject)));
    clock.advance(10);
    expect(await settled).toBe(false);
    fail(new Error('late'));
    await turn();
  });
});
