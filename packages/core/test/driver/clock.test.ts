import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/driver/index.ts';

const DAY = 86_400_000;

describe('systemClock', () => {
  afterEach(() => void vi.useRealTimers());

  it('shows the time of the system', () => {
    vi.useFakeTimers({ now: 1_234 });
    expect(systemClock.now()).toBe(1_234);
  });

  it('runs once, after the time given', () => {
    vi.useFakeTimers();
    const run = vi.fn();
    systemClock.after(100, run);
    vi.advanceTimersByTime(99);
    expect(run).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1_000);
    expect(run).toHaveBeenCalledOnce();
  });

  it('does not run what was cancelled', () => {
    vi.useFakeTimers();
    const run = vi.fn();
    systemClock.after(100, run)();
    vi.advanceTimersByTime(1_000);
    expect(run).not.toHaveBeenCalled();
  });

  it('runs soon where the time is past', () => {
    vi.useFakeTimers();
    const run = vi.fn();
    systemClock.after(-5, run);
    vi.advanceTimersByTime(1);
    expect(run).toHaveBeenCalledOnce();
  });

  it('does not run at once what is further off than a timer of the system can be', () => {
    vi.useFakeTimers();
    const run = vi.fn();
    systemClock.after(100 * DAY, run);
    systemClock.after(Number.POSITIVE_INFINITY, run);
    vi.advanceTimersByTime(20 * DAY);
    expect(run).not.toHaveBeenCalled();
  });

  it('runs nothing before its time, however far off', () => {
    vi.useFakeTimers();
    const run = vi.fn();
    systemClock.after(100 * DAY, run);
    vi.advanceTimersByTime(99 * DAY);
    expect(run).not.toHaveBeenCalled();
  });

  it('keeps no process alive', () => {
    const unref = vi.spyOn(setTimeout(() => undefined, 1).constructor.prototype as NodeJS.Timeout, 'unref');
    systemClock.after(60_000, () => undefined)();
    expect(unref).toHaveBeenCalled();
    unref.mockRestore();
  });
});
