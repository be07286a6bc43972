import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prefix } from '../../src/driver/index.ts';

describe('Prefix', () => {
  it('grows only while what was opened first is finished', () => {
    const prefix = new Prefix<string>();
    const [a, b, c] = ['a', 'b', 'c'].map((value) => prefix.open(value)) as [() => void, () => void, () => void];
    b();
    expect(prefix.take()).toBeUndefined();
    a();
    expect(prefix.take()).toBe('b');
    expect(prefix.take()).toBeUndefined();
    c();
    expect(prefix.take()).toBe('c');
    expect(prefix.size).toBe(0);
  });

  it('counts what is opened and not yet behind it', () => {
    const prefix = new Prefix<number>();
    const finish = [1, 2, 3].map((value) => prefix.open(value));
    finish[2]?.();
    prefix.take();
    expect(prefix.size).toBe(3);
    finish[0]?.();
    prefix.take();
    expect(prefix.size).toBe(2);
  });

  it('takes a thing that is finished twice for finished', () => {
    const prefix = new Prefix<number>();
    const finish = prefix.open(1);
    finish();
    finish();
    expect(prefix.take()).toBe(1);
    prefix.open(2);
    finish();
    expect(prefix.take()).toBeUndefined();
  });

  it('behaves as a list that is searched from its start', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('open' as const) }),
      fc.record({ kind: fc.constant('finish' as const), index: fc.nat() }),
      fc.record({ kind: fc.constant('take' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const prefix = new Prefix<number>();
        const finishers: (() => void)[] = [];
        const done: boolean[] = [];
        let taken = 0;
        for (const { kind, ...more } of steps) {
          if (kind === 'open') {
            finishers.push(prefix.open(done.length));
            done.push(false);
          } else if (kind === 'finish') {
            if (done.length === 0) continue;
            const index = ('index' in more ? more.index : 0) % done.length;
            finishers[index]?.();
            done[index] = true;
          } else {
            const open = done.indexOf(false);
            const end = open === -1 ? done.length : open;
            expect(prefix.take()).toBe(end > taken ? end - 1 : undefined);
            taken = end;
            expect(prefix.size).toBe(done.length - taken);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('stays right while a hundred thousand pass through it', () => {
    const prefix = new Prefix<number>();
    const window: (() => void)[] = [];
    const wrong: (number | undefined)[] = [];
    for (let value = 0; value < 100_000; value += 1) {
      window.push(prefix.open(value));
      if (window.length < 100) continue;
      window.shift()?.();
      const last = prefix.take();
      if (last !== value - 99) wrong.push(last);
    }
    expect(wrong).toEqual([]);
    expect(prefix.size).toBe(99);
  });
});
