import { describe, expect, test } from 'vitest';
import { type Progress, readProgress, writeProgress } from '../src/kafka-offsets.ts';
import { randomOf } from './random.ts';

const BROKER_BYTES = 4_096;
const OWNER = 'abcDEF_-';
const nothing: Progress = { offset: 7, owner: OWNER, holes: [], end: 7, held: 0, charges: [] };
const again = (progress: Progress): Progress => readProgress(progress.offset, writeProgress(progress));
function range<T>(length: number, at: (index: number) => T): T[] {
  return Array.from({ length }, (_, index) => at(index));
}

/** Offsets that the text claims finished and the progress does not. */
function falselyFinished({ offset, holes, end }: Progress, read: Progress): number[] {
  const open = new Set(holes);
  const claimed = new Set(read.holes);
  const wrong: number[] = [];
  for (let each = read.offset; each < read.end; each += 1) {
    if (!claimed.has(each) && (each < offset || each >= end || open.has(each))) wrong.push(each);
  }
  return wrong;
}

describe('progress', () => {
  test.each<[string, Progress]>([
    ['nothing beyond the offset', nothing],
    ['one hole', { ...nothing, holes: [7], end: 9 }],
    ['no hole', { ...nothing, end: 1_000 }],
    ['neighbours, and one far away', { ...nothing, holes: [7, 8, 9, 200, 70_000], end: 3_000_000 }],
    ['the first offset', { ...nothing, offset: 0, holes: [0, 2], end: 3 }],
    ['large offsets', { ...nothing, offset: 2 ** 52, holes: [2 ** 52 + 1, 2 ** 52 + 2 ** 40], end: 2 ** 52 + 2 ** 41 }],
    ['distances at the limits of a byte', { ...nothing, holes: [7 + 127, 7 + 255, 7 + 383, 17_000], end: 20_000 }],
    [
      'charges',
      {
        ...nothing,
        charges: [
          { end: 8, count: 3 },
          { end: 9, count: 0 },
          { end: 3_000, count: 12 },
        ],
      },
    ],
    ['thousands of holes', { ...nothing, holes: range(2_800, (index) => 7 + index * 7), end: 50_000 }],
  ])('comes back as it was: %s', (_, progress) => {
    expect(again(progress)).toEqual(progress);
  });

  test('any holes and charges come back as they were', () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = randomOf(seed);
      const offset = random(1_000_000);
      const holes: number[] = [];
      for (let at = offset; holes.length < 400; at += 1 + random(2 ** random(16))) holes.push(at);
      holes.length = random(400);
      const end = (holes.at(-1) ?? offset) + random(3) * 1_000 + Math.min(holes.length, 1);
      let until = offset;
      const charges = range(random(20), () => ({ end: (until += 1 + random(300)), count: random(12) }));
      const progress = { offset, owner: OWNER, holes, end, held: random(2_000), charges };
      expect(again(progress)).toEqual(progress);
    }
  });

  test.each([3_000, 5_000, 100_000])(
    'of %i holes as many are told of as the broker takes, and none is lost',
    (count) => {
      for (const distance of [2, 100, 129, 20_000]) {
        const holes = range(count, (index) => 7 + index * distance);
        const progress = { ...nothing, holes, end: 7 + count * distance };
        expect(Buffer.byteLength(writeProgress(progress))).toBeLessThanOrEqual(BROKER_BYTES);
        const read = again(progress);
        expect(read.holes).toEqual(holes.slice(0, read.holes.length));
        expect(read.end).toBe(holes[read.holes.length] ?? progress.end);
        expect(read.holes.length).toBeGreaterThan(900);
      }
    },
  );

  test('what is left out is never claimed finished, whatever the holes are', () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const random = randomOf(seed);
      const holes: number[] = [];
      for (let at = 7 + random(3); holes.length < 6_000; at += 1 + random(seed)) holes.push(at);
      const progress = { ...nothing, holes, end: (holes.at(-1) as number) + 1 + random(50) };
      expect(falselyFinished(progress, again(progress))).toEqual([]);
    }
  });

  test('the broker takes it however many records were handed out how often', () => {
    const holes = range(1_000, (index) => 7 + index * 2);
    const charges = range(2_000, (index) => ({ end: 8 + index, count: index % 2 === 0 ? 11 : 10 }));
    const progress = { ...nothing, holes, end: 2_007, charges };
    expect(Buffer.byteLength(writeProgress(progress))).toBeLessThanOrEqual(BROKER_BYTES);
    expect(falselyFinished(progress, again(progress))).toEqual([]);
  });
});

describe('metadata of others', () => {
  test.each([
    '',
    'x',
    'w1',
    'w1;',
    'w1;o;;;',
    'w2;o;;5;',
    'w1;o;;-5;',
    'w1;o;a;5;',
    'w1;o;-1.1;5;',
    'w1;o;1.-1;5;',
    '{"a":1}',
  ])('of "%s" nothing is taken for finished', (metadata) => {
    const read = readProgress(7, metadata);
    expect({ ...read, owner: '' }).toEqual({ ...nothing, owner: '' });
  });

  test('a text with wrong bytes never breaks anything', () => {
    const text = writeProgress({ ...nothing, holes: [8, 300, 70_000], end: 80_000, charges: [{ end: 90, count: 2 }] });
    for (let seed = 1; seed <= 2_000; seed += 1) {
      const random = randomOf(seed);
      const at = random(text.length);
      const broken = text.slice(0, at) + String.fromCodePoint(random(256)) + text.slice(at + random(4));
      const { offset, end, holes, charges } = readProgress(7, broken);
      expect(offset).toBe(7);
      expect(Number.isSafeInteger(end) && end >= 7).toBe(true);
      expect(holes.every((hole) => Number.isSafeInteger(hole) && hole < end)).toBe(true);
      expect(charges.every((charge) => charge.count >= 0 && charge.end >= 7)).toBe(true);
    }
  });
});
