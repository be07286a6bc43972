import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Alarm } from '../../src/driver/index.ts';
import { StillClock } from './kit.ts';

function started(clock: StillClock): { alarm: Alarm<string>; rung: { at: number; items: readonly string[] }[] } {
  const rung: { at: number; items: readonly string[] }[] = [];
  return { alarm: new Alarm<string>((items) => rung.push({ at: clock.now(), items }), clock), rung };
}

describe('Alarm', () => {
  it('rings each at its time, earliest first', () => {
    const clock = new StillClock(0);
    const { alarm, rung } = started(clock);
    alarm.set(30, 'c');
    alarm.set(10, 'a');
    alarm.set(20, 'b');
    clock.advance(100);
    expect(rung).toEqual([
      { at: 10, items: ['a'] },
      { at: 20, items: ['b'] },
      { at: 30, items: ['c'] },
    ]);
    expect(alarm.size).toBe(0);
  });

  it('rings what is due together once, ties in the order they were set', () => {
    const clock = new StillClock(0);
    const { alarm, rung } = started(clock);
    for (const item of ['a', 'b', 'c', 'd', 'e']) alarm.set(10, item);
    clock.advance(10);
    expect(rung).toEqual([{ at: 10, items: ['a', 'b', 'c', 'd', 'e'] }]);
  });

  it('rings what is due already, as soon as a timer can', () => {
    const clock = new StillClock(100);
    const { alarm, rung } = started(clock);
    alarm.set(50, 'late');
    expect(rung).toEqual([]);
    clock.advance(0);
    expect(rung).toEqual([{ at: 100, items: ['late'] }]);
  });

  it('rings nothing early when its timer comes early', () => {
    const clock = new StillClock(0);
    const { alarm, rung } = started(clock);
    alarm.set(10, 'a');
    clock.fireEarly(1);
    expect(rung).toEqual([]);
    clock.advance(1);
    expect(rung).toEqual([{ at: 10, items: ['a'] }]);
  });

  it('rings nothing early when the clock goes back', () => {
    const clock = new StillClock(1_000);
    const { alarm, rung } = started(clock);
    alarm.set(1_010, 'a');
    clock.jump(-500);
    clock.advance(10);
    expect(rung).toEqual([]);
    clock.advance(500);
    expect(rung).toEqual([{ at: 1_010, items: ['a'] }]);
  });

  it('has one timer for ten thousand', () => {
    const clock = new StillClock(0);
    const { alarm } = started(clock);
    for (let index = 0; index < 10_000; index += 1) alarm.set(10_000 - (index % 97), `${index}`);
    expect(clock.timers).toBe(1);
    clock.advance(9_950);
    expect(clock.timers).toBe(1);
    clock.advance(50);
    expect(clock.timers).toBe(0);
  });

  it('leaves its timer alone while something later is set', () => {
    const clock = new StillClock(0);
    const { alarm } = started(clock);
    for (let index = 0; index < 100; index += 1) alarm.set(10 + index, `${index}`);
    expect(clock.set).toBe(1);
  });

  it('has no timer for what never comes', () => {
    const clock = new StillClock(0);
    const { alarm } = started(clock);
    alarm.set(Number.POSITIVE_INFINITY, 'never');
    expect(clock.timers).toBe(0);
    alarm.set(5, 'a');
    clock.advance(5);
    expect([alarm.size, clock.timers]).toEqual([1, 0]);
  });

  it('takes what its ring sets', () => {
    const clock = new StillClock(0);
    const rung: number[] = [];
    const alarm: Alarm<number> = new Alarm<number>((items) => {
      rung.push(...items);
      for (const item of items) if (item < 3) alarm.set(clock.now() + 10, item + 1);
    }, clock);
    alarm.set(10, 1);
    clock.advance(100);
    expect(rung).toEqual([1, 2, 3]);
    expect(clock.timers).toBe(0);
  });

  it('gives out everything at clear, earliest first, and has no timer then', () => {
    const clock = new StillClock(0);
    const { alarm, rung } = started(clock);
    alarm.set(30, 'c');
    alarm.set(10, 'a');
    expect(alarm.clear()).toEqual(['a', 'c']);
    expect([alarm.size, clock.timers]).toEqual([0, 0]);
    clock.advance(100);
    expect(rung).toEqual([]);
    alarm.set(110, 'd');
    clock.advance(10);
    expect(rung).toEqual([{ at: 110, items: ['d'] }]);
  });

  it('rings everything once, in time and in order, whatever is set when', () => {
    const step = fc.record({
      advance: fc.integer({ min: 0, max: 20 }),
      sets: fc.array(fc.integer({ min: -5, max: 40 }), { maxLength: 4 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const clock = new StillClock(0);
        const rung: { dueAt: number; order: number }[] = [];
        let order = 0;
        const alarm = new Alarm<{ dueAt: number; order: number }>((items) => {
          for (const [index, item] of items.entries()) {
            expect(item.dueAt).toBeLessThanOrEqual(clock.now());
            const before = items[index - 1];
            if (before === undefined) continue;
            expect(before.dueAt < item.dueAt || (before.dueAt === item.dueAt && before.order < item.order)).toBe(true);
          }
          rung.push(...items);
        }, clock);
        for (const { advance, sets } of steps) {
          for (const ahead of sets) alarm.set(clock.now() + ahead, { dueAt: clock.now() + ahead, order: order++ });
          expect(clock.timers).toBeLessThanOrEqual(1);
          clock.advance(advance);
          expect(alarm.size).toBe(order - rung.length);
        }
        clock.advance(100);
        expect(new Set(rung.map((item) => item.order)).size).toBe(order);
        expect(rung.length).toBe(order);
      }),
    );
  });
});
