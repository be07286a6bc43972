import { describe, expect, test } from 'vitest';
import { lanesOf, tensOf } from '../src/sqs-lanes.ts';

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('lanes', () => {
  test('without groups every request is full but the last', () => {
    const lanes = lanesOf(range(95), 4, () => undefined);
    expect(lanes).toHaveLength(4);
    const tens = lanes.flatMap((lane) => [...tensOf(lane)]);
    expect(tens.map((ten) => ten.length).toSorted((a, b) => b - a)).toEqual([10, 10, 10, 10, 10, 10, 10, 10, 10, 5]);
    expect(tens.flat().toSorted((a, b) => a - b)).toEqual(range(95));
  });

  test('what is of one group is in one lane, in its order', () => {
    const lanes = lanesOf(range(60), 3, (index) => `g${index % 7}`);
    expect(lanes).toHaveLength(3);
    for (let group = 0; group < 7; group += 1) {
      const parts = lanes.map((lane) => lane.filter((index) => index % 7 === group)).filter((part) => part.length > 0);
      expect(parts).toEqual([range(60).filter((index) => index % 7 === group)]);
    }
  });
});
