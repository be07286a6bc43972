import { expect, test } from 'vitest';
import { chunksOf, roundsOf } from '../src/sqs-chunks.ts';

const sized = (...sizes: number[]): { bytes: number }[] => sizes.map((bytes) => ({ bytes }));

test('a request has at most 10 entries', () => {
  const chunks = chunksOf(sized(...Array.from({ length: 21 }, () => 1)), 1_000);
  expect(chunks.map(({ length }) => length)).toEqual([10, 10, 1]);
});

test('the entries of a request together keep to the limit', () => {
  const chunks = chunksOf(sized(6, 4, 1, 9, 1, 10), 10);
  expect(chunks.map((chunk) => chunk.map(({ bytes }) => bytes))).toEqual([[6, 4], [1, 9], [1], [10]]);
});

test('nothing makes no request', () => {
  expect(chunksOf([], 10)).toEqual([]);
  expect(roundsOf([])).toEqual([]);
});

test('a round has one of each group, in order', () => {
  const items = ['a1', 'b1', 'a2', 'c1', 'a3', 'b2'].map((name) => ({ name, group: name.charAt(0) }));
  const rounds = roundsOf(items).map((round) => round.map(({ name }) => name));
  expect(rounds).toEqual([['a1', 'b1', 'c1'], ['a2', 'b2'], ['a3']]);
});
