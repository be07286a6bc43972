import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HandlerWatch, type Timed } from '../../src/failure/handler-time.ts';
import { StillClock } from '../driver/kit.ts';

const TIMEOUT = 60_000;

class Attempt implements Timed {
  readonly log: string[];
  readonly clock: StillClock;
  readonly name: string;
  readonly startedAt: number;
  place = -1;
  next: (what: 'abort' | 'overrun') => void = () => undefined;

  constructor(log: string[], clock: StillClock, name: string) {
    this.log = log;
    this.clock = clock;
    this.name = name;
    this.startedAt = clock.now();
  }

  abort(): void {
    this.log.push(`${this.name} aborts at ${this.clock.now() - this.startedAt}`);
    this.next('abort');
  }

  overrun(): void {
    this.log.push(`${this.name} overruns at ${this.clock.now() - this.startedAt}`);
    this.next('overrun');
  }
}

function started(): { clock: StillClock; watch: HandlerWatch; log: string[]; start: (name: string) => Attempt } {
  const clock = new StillClock();
  const watch = new HandlerWatch(clock, TIMEOUT);
  const log: string[] = [];
  const start = (name: string): Attempt => {
    const attempt = new Attempt(log, clock, name);
    watch.start(attempt);
    return attempt;
  };
  return { clock, watch, log, start };
}

describe('HandlerWatch', () => {
  it('aborts a handler at its time and gives it up 10 s later', () => {
    const { clock, log, start } = started();
    start('a');
    clock.advance(TIMEOUT - 1);
    expect(log).toEqual([]);
    clock.advance(1);
    expect(log).toEqual(['a aborts at 60000']);
    clock.advance(9_999);
    expect(log).toHaveLength(1);
    clock.advance(1);
    expect(log).toEqual(['a aborts at 60000', 'a overruns at 70000']);
    clock.advance(1_000_000);
    expect(log).toHaveLength(2);
  });

  it('leaves a handler alone that returned in time', () => {
    const { clock, watch, log, start } = started();
    const a = start('a');
    clock.advance(TIMEOUT - 1);
    watch.finish(a);
    clock.advance(1_000_000);
    expect(log).toEqual([]);
  });

  it('leaves a handler alone that returned within its grace', () => {
    const { clock, watch, log, start } = started();
    const a = start('a');
    clock.advance(TIMEOUT + 9_999);
    watch.finish(a);
    clock.advance(1_000_000);
    expect(log).toEqual(['a aborts at 60000']);
  });

  it('takes a handler that returned after all without complaint', () => {
    const { clock, watch, log, start } = started();
    const a = start('a');
    clock.advance(TIMEOUT + 20_000);
    watch.finish(a);
    watch.finish(a);
    expect(log).toHaveLength(2);
  });

  it('gives each its own time, in the order of their start', () => {
    const { clock, log, start } = started();
    start('a');
    clock.advance(4_000);
    start('b');
    clock.advance(1_000_000);
    expect(log).toEqual(['a aborts at 60000', 'b aborts at 60000', 'a overruns at 70000', 'b overruns at 70000']);
  });

  it('has one timer for all, and none once nothing runs', () => {
    const { clock, watch, start } = started();
    const attempts = Array.from({ length: 1_000 }, (_, index) => start(`${index}`));
    expect(clock.timers).toBe(1);
    expect(clock.set).toBe(1);
    for (const attempt of attempts) watch.finish(attempt);
    clock.advance(TIMEOUT);
    expect(clock.timers).toBe(0);
  });

  it('leaves its timer alone while handlers come and go', () => {
    const { clock, watch, start } = started();
    for (let round = 0; round < 10_000; round += 1) {
      watch.finish(start('a'));
      clock.advance(1);
    }
    expect(clock.set).toBeLessThanOrEqual(2);
    expect(clock.timers).toBe(1);
  });

  it('aborts nothing early when its timer comes early', () => {
    const { clock, log, start } = started();
    start('a');
    clock.fireEarly(1);
    expect(log).toEqual([]);
    clock.advance(1);
    expect(log).toEqual(['a aborts at 60000']);
  });

  it('keeps one timer when what it aborts starts another', () => {
    const { clock, log, start } = started();
    const a = start('a');
    a.next = (what) => {
      if (what === 'overrun') start('b');
    };
    clock.advance(TIMEOUT + 10_000);
    expect(clock.timers).toBe(1);
    clock.advance(TIMEOUT);
    expect(log).toEqual(['a aborts at 60000', 'a overruns at 70000', 'b aborts at 60000']);
    expect(clock.timers).toBe(1);
  });

  it('has no timer after stop', () => {
    const { clock, watch, log, start } = started();
    start('a');
    watch.stop();
    expect(clock.timers).toBe(0);
    clock.advance(1_000_000);
    expect(log).toEqual([]);
  });

  it('aborts at the time and overruns 10 s later, exactly those that still run, whatever else comes and goes', () => {
    const handler = fc.record({ at: fc.nat({ max: 20_000 }), lasts: fc.integer({ min: 0, max: 90_000 }) });
    fc.assert(
      fc.property(fc.array(handler, { maxLength: 20 }), (handlers) => {
        const { clock, watch, log } = started();
        const expected: string[] = [];
        for (const [index, { at, lasts }] of handlers.entries()) {
          clock.after(at, () => {
            const attempt = new Attempt(log, clock, `${index}`);
            watch.start(attempt);
            clock.after(lasts, () => watch.finish(attempt));
          });
          if (lasts > TIMEOUT) expected.push(`${index} aborts at 60000`);
          if (lasts > TIMEOUT + 10_000) expected.push(`${index} overruns at 70000`);
        }
        clock.advance(200_000);
        // Those that return in the very ms of their limit are left alone or not.
        const sure = (line: string): boolean =>
          ![TIMEOUT, TIMEOUT + 10_000].includes(handlers[Number(line.split(' ', 1)[0])]?.lasts ?? 0);
        expect(log.filter(sure).toSorted()).toEqual(expected.filter(sure).toSorted());
        expect(clock.timers).toBe(0);
      }),
    );
  });
});
