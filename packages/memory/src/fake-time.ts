import { type Clock, WaybillError } from '@waybill/core/driver';

/** A clock that stands still until it is told to advance. */
export interface FakeTime extends Clock {
  /**
   * Runs what comes due within `ms`, earliest first, each at its own time and with promise continuations between them.
   * Resolves when the clock shows `ms` more and what that started has settled. Await one call before the next.
   */
  advance(ms: number): Promise<void>;
}

interface Timer {
  readonly dueAt: number;
  readonly run: () => void;
}

/** Turns of the event loop: promise chains need one, code that itself waits for `setImmediate` some more. */
const TURNS = 4;

/** Starts at `start`, epoch ms. Default: 2026-01-01T00:00:00Z. */
export function fakeTime(start: number = Date.UTC(2026, 0, 1)): FakeTime {
  const timers = new Set<Timer>();
  let now = start;
  const earliest = (): Timer | undefined => {
    let first: Timer | undefined;
    for (const timer of timers) if (first === undefined || timer.dueAt < first.dueAt) first = timer;
    return first;
  };
  return {
    now: () => now,
    after(ms, run) {
      const timer = { dueAt: now + Math.max(ms, 0), run };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    async advance(ms) {
      if (!(ms >= 0)) throw new WaybillError('INVALID_ARGUMENT', `Time cannot be advanced by ${ms} ms.`);
      const end = now + ms;
      await settled();
      for (let timer = earliest(); timer !== undefined && timer.dueAt <= end; timer = earliest()) {
        timers.delete(timer);
        now = Math.max(now, timer.dueAt);
        timer.run();
        await settled();
      }
      now = end;
      await settled();
    },
  };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
}
