import { describe, expect, it } from 'vitest';

import { ATTEMPTS, CONSUMERS, Workload } from '../../src/chaos/workload.ts';

const MANY = 20_000;
const indexes = (messages: number): readonly number[] => Array.from({ length: messages }, (_, index) => index);

describe('a workload', () => {
  it('fails one handler call in twenty, never the last attempt but of poison, the same for the same seed', () => {
    const [workload, again] = [new Workload(MANY, 5), new Workload(MANY, 5)];
    for (const consumer of CONSUMERS) {
      const innocent = indexes(MANY).filter(
        (index) => !workload.isPoison(consumer, index) && !workload.isKiller(consumer, index),
      );
      const failing = innocent.filter((index) => workload.deed(consumer, index, 1) === 'fail');
      expect(failing.length / innocent.length).toBeGreaterThan(0.04);
      expect(failing.length / innocent.length).toBeLessThan(0.06);
      expect(failing.every((index) => again.deed(consumer, index, 1) === 'fail')).toBe(true);
      expect(innocent.every((index) => workload.deed(consumer, index, ATTEMPTS) === 'handle')).toBe(true);
    }
  });

  it('has poison in each consumer, also when it is short, and one killer that is none', () => {
    for (const [messages, least, most] of [
      [MANY, 8, 40],
      [1_000, 8, 40],
      [1_000_000, 800, 1_200],
    ] as const) {
      const workload = new Workload(messages, 5);
      for (const consumer of CONSUMERS) {
        const poison = indexes(messages).filter((index) => workload.isPoison(consumer, index)).length;
        expect(poison).toBeGreaterThan(least);
        expect(poison).toBeLessThan(most);
        expect(workload.isPoison(consumer, workload.killer)).toBe(false);
      }
    }
  });

  it('gives each publisher messages of its own keys, in their order', () => {
    const workload = new Workload(1_000, 5);
    const turns = [0, 1, 2].map((publisher) => workload.turns(publisher));
    expect(turns).toEqual([334, 333, 333]);
    const next = new Map<string, number>();
    for (let turn = 0; turn < 334; turn += 1) {
      const index = workload.index(0, turn);
      const key = workload.key(index);
      expect(workload.sequence(index)).toBe(next.get(key) ?? 0);
      if (workload.before(index) >= 0) expect(workload.key(workload.before(index))).toBe(key);
      next.set(key, workload.sequence(index) + 1);
    }
    expect(next.size).toBe(50);
    expect([...next.keys()]).not.toContain(workload.key(workload.index(1, 0)));
  });
});
