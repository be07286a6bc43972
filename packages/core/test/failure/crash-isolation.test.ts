import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CrashIsolation } from '../../src/failure/crash-poison.ts';

function harmless(isolation: CrashIsolation, times: number): void {
  for (let time = 0; time < times; time += 1) isolation.judge(1, 0);
}

function opened(maxDeliveries = 100): CrashIsolation {
  const isolation = new CrashIsolation(maxDeliveries);
  harmless(isolation, 20);
  isolation.open();
  return isolation;
}

describe('a consumer', () => {
  it('starts isolated and is cleared by 20 harmless deliveries in a row', () => {
    const isolation = new CrashIsolation(100);
    expect([isolation.isolated, isolation.cleared]).toEqual([true, false]);
    harmless(isolation, 19);
    expect(isolation.cleared).toBe(false);
    harmless(isolation, 1);
    expect([isolation.isolated, isolation.cleared]).toEqual([true, true]);
    isolation.open();
    expect([isolation.isolated, isolation.cleared]).toEqual([false, false]);
  });

  it('starts to count again at a suspect that was handed out more than 5 times', () => {
    const isolation = new CrashIsolation(100);
    harmless(isolation, 19);
    expect(isolation.judge(6, 0)).toBe('run');
    harmless(isolation, 19);
    expect(isolation.cleared).toBe(false);
    harmless(isolation, 1);
    expect(isolation.cleared).toBe(true);
  });

  it('starts to count again when it goes back into isolation', () => {
    const isolation = opened();
    harmless(isolation, 19);
    isolation.isolate();
    harmless(isolation, 19);
    expect([isolation.isolated, isolation.cleared]).toEqual([true, false]);
    harmless(isolation, 1);
    expect(isolation.cleared).toBe(true);
  });
});

describe('suspects that come to their end alone', () => {
  function tried(isolation: CrashIsolation, deliveries: number): CrashIsolation {
    for (let time = 0; time < 20; time += 1) expect(isolation.judge(deliveries, 0)).toBe('run');
    // Only what comes after the last one tells that the process outlived it.
    expect(isolation.cleared).toBe(false);
    expect(isolation.judge(deliveries, 0)).toBe('run');
    return isolation;
  }

  it.each([3, 4, 5])('clear the consumer when they were handed out %d times', (deliveries) => {
    const isolation = tried(new CrashIsolation(100), deliveries);
    expect(isolation.cleared).toBe(true);
  });

  it('do not when they were handed out 6 times', () => {
    expect(tried(new CrashIsolation(100), 6).cleared).toBe(false);
  });

  it('vouch for others up to 5 times, until one was handed out more often', () => {
    const isolation = tried(new CrashIsolation(100), 3);
    isolation.open();
    for (const deliveries of [3, 4, 5]) {
      expect(isolation.judge(deliveries, 500)).toBe('run');
      expect(isolation.isHarmless(deliveries)).toBe(true);
    }
    expect(isolation.judge(6, 500)).toBe('isolate');
    isolation.isolate();
    expect([isolation.judge(3, 1), isolation.judge(3, 0)]).toEqual(['isolate', 'run']);
  });

  it('vouch for none where the broker gives up after 5', () => {
    const isolation = tried(new CrashIsolation(5), 3);
    expect(isolation.cleared).toBe(false);
    harmless(isolation, 20);
    isolation.open();
    expect(isolation.judge(3, 500)).toBe('isolate');
  });

  it('are no witnesses when harmless ones cleared the consumer', () => {
    const isolation = opened();
    expect(isolation.judge(3, 500)).toBe('isolate');
  });
});

describe('a delivery', () => {
  it.each([1, 2])('that was handed out %d times runs, whatever is held', (deliveries) => {
    for (const isolation of [new CrashIsolation(100), opened()]) {
      for (const held of [0, 1, 999]) expect(isolation.judge(deliveries, held)).toBe('run');
    }
  });

  it.each([3, 10, 11, 99])('that was handed out %d times is isolated where others run', (deliveries) => {
    const isolation = opened();
    expect(isolation.judge(deliveries, 5)).toBe('isolate');
    expect(isolation.judge(deliveries, 0)).toBe('isolate');
  });

  it('is isolated where it is not held alone, also in isolation', () => {
    expect(new CrashIsolation(100).judge(50, 1)).toBe('isolate');
  });

  it('that is held alone runs up to 10 times and is a crash loop from the 11th', () => {
    const isolation = new CrashIsolation(100);
    for (const deliveries of [3, 9, 10]) expect(isolation.judge(deliveries, 0)).toBe('run');
    for (const deliveries of [11, 12, 100]) expect(isolation.judge(deliveries, 0)).toBe('crash-loop');
  });

  it.each([
    [10, 9],
    [5, 4],
    [11, 10],
    [12, 10],
    [100, 10],
  ])(
    'of a broker that gives up after %d is a crash loop above %d, before the broker gives it up',
    (maxDeliveries, most) => {
      const isolation = new CrashIsolation(maxDeliveries);
      expect(isolation.judge(most, 0)).toBe('run');
      expect(isolation.judge(most + 1, 0)).toBe('crash-loop');
    },
  );

  it('is never condemned while others are held or run', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 200 }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 5 }), fc.boolean())),
        (most, steps) => {
          const isolation = new CrashIsolation(most);
          for (const [deliveries, held, change] of steps) {
            const alone = isolation.isolated && held === 0;
            const verdict = isolation.judge(deliveries, held);
            if (verdict === 'crash-loop') expect(alone && deliveries > Math.min(10, most - 1)).toBe(true);
            if (verdict === 'isolate') isolation.isolate();
            else if (change && isolation.cleared) isolation.open();
          }
        },
      ),
    );
  });
});

/** One process at a time over a queue; a message in `deadly` kills it at every run. Says who was condemned. */
function simulate(
  count: number,
  deadly: ReadonlySet<number>,
  options: { window: number; concurrency: number; losses?: number; random: () => number },
): {
  condemned: number[];
  handled: Set<number>;
  kills: number;
} {
  const { window, concurrency, random } = options;
  const deliveries = Array.from({ length: count }, () => 0);
  let queue = Array.from({ length: count }, (_, index) => index);
  const handled = new Set<number>();
  const condemned: number[] = [];
  let kills = 0;
  let losses = options.losses ?? 0;
  while (queue.length > 0 && kills < 1_000) {
    const isolation = new CrashIsolation(100);
    let held: number[] = [];
    let killed = false;
    while (!killed && queue.length > 0) {
      if (held.length === 0 && isolation.cleared) isolation.open();
      const room = isolation.isolated ? 1 : window;
      const suspects: number[] = [];
      while (held.length + suspects.length < room && queue.length > 0) {
        const next = queue.shift() as number;
        const times = (deliveries[next] ?? 0) + 1;
        deliveries[next] = times;
        const verdict = isolation.judge(times, held.length + suspects.length);
        if (verdict === 'isolate') suspects.push(next);
        else if (verdict === 'crash-loop') condemned.push(next);
        else held.push(next);
      }
      // A lost connection charges all that is held, too, and kills nobody.
      if (losses > 0 && !isolation.isolated && random() < 0.5) {
        losses -= 1;
        queue = [...held, ...suspects, ...queue].toSorted((left, right) => left - right);
        held = [];
        continue;
      }
      // Up to `concurrency` run at once and end in any order; one of them may kill the process.
      while (held.length > 0 && !killed) {
        const running = held.slice(0, concurrency);
        const ends = running[Math.floor(random() * running.length)] as number;
        if (deadly.has(ends)) {
          killed = true;
          kills += 1;
          queue = [...held, ...suspects, ...queue].toSorted((left, right) => left - right);
        } else {
          handled.add(ends);
          held = held.filter((message) => message !== ends);
        }
      }
      if (!killed && suspects.length > 0) {
        queue = [...suspects, ...queue].toSorted((left, right) => left - right);
        isolation.isolate();
      }
      if (killed) held = [];
    }
  }
  return { condemned: condemned.toSorted((left, right) => left - right), handled, kills };
}

describe('a message that kills the process', () => {
  it('is condemned, and no other is, wherever it lies among others', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 150 }),
        fc.array(fc.nat(), { maxLength: 4 }),
        fc.record({
          window: fc.integer({ min: 1, max: 60 }),
          concurrency: fc.integer({ min: 1, max: 16 }),
          losses: fc.integer({ min: 0, max: 4 }),
          seed: fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        }),
        (count, places, { window, concurrency, losses, seed }) => {
          const deadly = new Set(places.map((place) => place % count));
          const random = (): number => seed.next().value as number;
          const { condemned, handled, kills } = simulate(count, deadly, { window, concurrency, losses, random });
          expect(condemned).toEqual([...deadly].toSorted((left, right) => left - right));
          expect(handled.size).toBe(count - deadly.size);
          expect(kills).toBeLessThanOrEqual(10 * deadly.size);
        },
      ),
    );
  });
});
