import { describe, expect, it } from 'vitest';
import { Deque } from '../src/deque.ts';

describe('Deque', () => {
  it('does what an array does, through growth and wrapping', () => {
    const deque = new Deque<number>();
    const model: number[] = [];
    let seed = 1;
    for (let step = 0; step < 5_000; step++) {
      seed = (seed * 48_271) % 2_147_483_647;
      const choice = seed % 5;
      if (choice < 2) {
        deque.push(step);
        model.push(step);
      } else if (choice === 2) {
        deque.unshift(step);
        model.unshift(step);
      } else expect(deque.shift()).toBe(model.shift());
      const index = seed % (model.length + 1);
      expect(deque.length).toBe(model.length);
      expect(deque.at(index)).toBe(model[index]);
    }
    expect(model.length).toBeGreaterThan(100);
  });

  it('goes on after a large backlog is drained', () => {
    const deque = new Deque<number>();
    for (let item = 0; item < 10_000; item++) deque.push(item);
    for (let item = 0; item < 10_000; item++) expect(deque.shift()).toBe(item);
    deque.push(1);
    expect([deque.shift(), deque.shift()]).toEqual([1, undefined]);
  });
});
