import { describe, expect, it } from 'vitest';
import { byDeadline, pause, untilAborted } from '../../src/driver/index.ts';
import { StillClock } from './kit.ts';

const never = new Promise<never>(() => undefined);

describe('untilAborted', () => {
  it('settles as the promise does', async () => {
    const { signal } = new AbortController();
    await expect(untilAborted(Promise.resolve(1), signal, 'count')).resolves.toBe(1);
    await expect(untilAborted(Promise.reject(new Error('no')), signal, 'count')).rejects.toThrow('no');
  });

  it('rejects with TIMEOUT as soon as the signal aborts, before or after the call', async () => {
    const controller = new AbortController();
    const waiting = untilAborted(never, controller.signal, 'store message m-1');
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'TIMEOUT', message: 'Could not store message m-1 in time.' });
    await expect(untilAborted(never, controller.signal, 'count')).rejects.toMatchObject({ code: 'TIMEOUT' });
  });
});

describe('byDeadline', () => {
  it('says whether the promise settled in time, however it did', async () => {
    await expect(byDeadline(Date.now() + 10_000, Promise.resolve())).resolves.toBe(true);
    await expect(byDeadline(Date.now() + 10_000, Promise.reject(new Error('no')))).resolves.toBe(true);
    await expect(byDeadline(Date.now() + 1, never)).resolves.toBe(false);
    await expect(byDeadline(Date.now() - 1_000, never)).resolves.toBe(false);
  });
});

describe('pause', () => {
  it('resolves after its time', async () => {
    const clock = new StillClock();
    const paused = pause(clock, 50, new AbortController().signal);
    clock.advance(50);
    await paused;
    expect(clock.timers).toBe(0);
  });

  it('resolves at once when the signal aborts, and leaves no timer', async () => {
    const clock = new StillClock();
    const controller = new AbortController();
    const paused = pause(clock, 50, controller.signal);
    controller.abort();
    await paused;
    await pause(clock, 50, controller.signal);
    expect(clock.timers).toBe(0);
  });
});
