import { performance } from 'node:perf_hooks';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FreezeWatch } from '../../src/failure/clocks.ts';

let now = 1_000;
let watch: FreezeWatch | undefined;
afterEach(() => {
  watch?.stop();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function started(): { ticks: () => number; frozen: number[] } {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  let ticks = 0;
  const frozen: number[] = [];
  watch = new FreezeWatch(
    () => {
      ticks += 1;
    },
    (ms) => frozen.push(ms),
  );
  return { ticks: () => ticks, frozen };
}

function pass(ms: number): void {
  now += ms;
  vi.advanceTimersByTime(ms);
}

describe('FreezeWatch', () => {
  it('ticks twice a second', () => {
    const { ticks, frozen } = started();
    for (let half = 0; half < 20; half += 1) pass(500);
    expect(ticks()).toBe(20);
    expect(frozen).toEqual([]);
  });

  it('says how long the process was frozen, once, at the first check after it', () => {
    const { frozen } = started();
    pass(500);
    now += 8_000;
    watch?.check();
    watch?.check();
    expect(frozen).toEqual([8_000]);
  });

  it('says it at its own tick where nothing is checked', () => {
    const { frozen } = started();
    now += 8_000;
    pass(500);
    expect(frozen).toEqual([8_500]);
  });

  it('says it before the tick is told', () => {
    const order: string[] = [];
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    watch = new FreezeWatch(
      () => order.push('tick'),
      () => order.push('frozen'),
    );
    now += 8_000;
    pass(500);
    expect(order).toEqual(['frozen', 'tick']);
  });

  it('takes a pause of up to 2.5 s for none', () => {
    const { frozen } = started();
    now += 2_500;
    watch?.check();
    expect(frozen).toEqual([]);
    now += 2_501;
    watch?.check();
    expect(frozen).toEqual([2_501]);
  });

  it('sees every freeze', () => {
    const { frozen } = started();
    for (const ms of [3_000, 4_000]) {
      now += ms;
      watch?.check();
    }
    expect(frozen).toEqual([3_000, 4_000]);
  });

  it('is silent after stop', () => {
    const { ticks, frozen } = started();
    watch?.stop();
    pass(60_000);
    expect([ticks(), frozen]).toEqual([0, []]);
  });

  it('keeps the process alive only while something waits', () => {
    const timer = { ref: vi.fn(), unref: vi.fn() };
    vi.spyOn(globalThis, 'setInterval').mockReturnValue(timer as unknown as NodeJS.Timeout);
    watch = new FreezeWatch(
      () => undefined,
      () => undefined,
    );
    expect([timer.ref.mock.calls.length, timer.unref.mock.calls.length]).toEqual([0, 1]);
    watch.keepAlive(true);
    expect(timer.ref).toHaveBeenCalledOnce();
    watch.keepAlive(false);
    expect(timer.unref).toHaveBeenCalledTimes(2);
    watch = undefined;
  });
});
