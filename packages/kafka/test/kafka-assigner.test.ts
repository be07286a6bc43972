import { describe, expect, test } from 'vitest';
import type { Member, Share } from '../src/client/port.ts';
import { assign, writeClaims } from '../src/kafka-assigner.ts';
import { randomOf } from './random.ts';

const TOPICS = ['orders', 'billing', 'billing.delay.1s'];
const member = (id: string, claim: readonly number[] = [], topics: readonly string[] = TOPICS): Member => ({
  id,
  topics,
  claim: writeClaims(claim.map((slot) => ({ slot, busy: false }))),
});
const counts = (count: number): ReadonlyMap<string, number> => new Map(TOPICS.map((topic) => [topic, count]));

/** The partitions of one topic by member, in order. */
function slotsOf(assigned: ReadonlyMap<string, Share>, topic = 'orders'): Record<string, readonly number[]> {
  return Object.fromEntries([...assigned].map(([id, { assignment }]) => [id, assignment.get(topic) ?? []]));
}

function sizesOf(assigned: ReadonlyMap<string, Share>): number[] {
  return Object.values(slotsOf(assigned)).map(({ length }) => length);
}

/** The members as they are when they join again with what they had. */
function rejoining(assigned: ReadonlyMap<string, Share>): Member[] {
  return Object.entries(slotsOf(assigned)).map(([id, slots]) => member(id, slots));
}

function expectWhole(assigned: ReadonlyMap<string, Share>, partitions: ReadonlyMap<string, number>): void {
  for (const [topic, count] of partitions) {
    const given = [...assigned.values()].flatMap(({ assignment }) => assignment.get(topic) ?? []);
    expect(given.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, partition) => partition));
  }
}

function expectTogether(assigned: ReadonlyMap<string, Share>): void {
  for (const { assignment } of assigned.values()) {
    const [first, ...others] = TOPICS.map((topic) => assignment.get(topic) ?? []);
    for (const other of others) expect(other).toEqual(first);
  }
}

describe('assign', () => {
  test('gives everything to one member', () => {
    expect(slotsOf(assign([member('a')], counts(3)))).toEqual({ a: [0, 1, 2] });
  });

  test('gives each partition to one member, none more than one above another, and one number to one member', () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = randomOf(seed);
      const slots = 1 + random(30);
      const members = Array.from({ length: 1 + random(9) }, (_, index) =>
        member(
          `m${random(1_000)}-${index}`,
          Array.from({ length: random(slots) }, () => random(slots + 3)),
        ),
      );
      const assigned = assign(members, counts(slots));
      expectWhole(assigned, counts(slots));
      expectTogether(assigned);
      const sizes = sizesOf(assigned);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }
  });

  test('who joins takes only what is above the share of others', () => {
    const before = assign([member('b'), member('c')], counts(12));
    const after = slotsOf(assign([member('a'), ...rejoining(before)], counts(12)));
    for (const [id, slots] of Object.entries(slotsOf(before))) {
      expect(after[id]).toHaveLength(4);
      expect(slots).toEqual(expect.arrayContaining([...(after[id] ?? [])]));
    }
  });

  test('what a member leaves behind goes to the others, who keep what they have', () => {
    const before = assign([member('a'), member('b'), member('c')], counts(10));
    const staying = rejoining(before).filter(({ id }) => id !== 'b');
    const after = slotsOf(assign(staying, counts(10)));
    for (const id of ['a', 'c']) expect(after[id]).toEqual(expect.arrayContaining([...(slotsOf(before)[id] ?? [])]));
    expect(after['a']).toHaveLength(5);
  });

  test('a generation without a change moves nothing', () => {
    for (const slots of [1, 6, 7, 20]) {
      const before = assign([member('a'), member('b'), member('c')], counts(slots));
      expect(slotsOf(assign(rejoining(before), counts(slots)))).toEqual(slotsOf(before));
    }
  });

  test('is the same in whatever order the members are told of', () => {
    const members = [member('a', [0, 1]), member('b', [1, 2]), member('c')];
    expect(slotsOf(assign(members.toReversed(), counts(7)))).toEqual(slotsOf(assign(members, counts(7))));
  });

  test('a claim of two members is one of one of them', () => {
    const assigned = slotsOf(assign([member('a', [0, 1, 2]), member('b', [0, 1, 2, 3])], counts(4)));
    expect(assigned).toEqual({ a: [0, 1], b: [2, 3] });
  });

  test('members of nothing known get nothing, and those beyond the partitions neither', () => {
    expect(slotsOf(assign([member('a'), member('b')], new Map()))).toEqual({ a: [], b: [] });
    expect(sizesOf(assign([member('a'), member('b'), member('c')], counts(2))).toSorted()).toEqual([0, 1, 1]);
  });

  test.each(['', 'x', '1,x,2', '0.5', '-1', '-1,-2,-3', '99', ',,,'])('a claim of "%s" harms no balance', (claim) => {
    const assigned = assign([{ id: 'a', topics: TOPICS, claim }, member('b')], counts(6));
    expectWhole(assigned, counts(6));
    expect(sizesOf(assigned)).toEqual([3, 3]);
  });

  test('topics with fewer partitions follow those with more', () => {
    const partitions = new Map([
      ['orders', 6],
      ['billing', 3],
    ]);
    const assigned = assign([member('a'), member('b', [5])], partitions);
    expectWhole(assigned, partitions);
    for (const { assignment } of assigned.values()) {
      const orders = assignment.get('orders') ?? [];
      expect(assignment.get('billing') ?? []).toEqual(orders.filter((partition) => partition < 3));
    }
  });

  test('a topic goes only to those who know it', () => {
    const members = [member('old', [], ['orders']), member('new', [], ['orders', 'refunds'])];
    const partitions = new Map([
      ['orders', 4],
      ['refunds', 4],
    ]);
    const assigned = assign(members, partitions);
    expectWhole(assigned, partitions);
    expect(slotsOf(assigned, 'refunds')).toEqual({ old: [], new: [0, 1, 2, 3] });
    expect(sizesOf(assigned)).toEqual([2, 2]);
    expect(slotsOf(assign([member('old', [], ['orders'])], partitions), 'refunds')).toEqual({ old: [] });
  });

  test('who has too much in hand keeps it until it is finished, and says so', () => {
    const busy = [0, 1, 2, 3].map((slot) => ({ slot, busy: true }));
    const members = [{ id: 'a', topics: TOPICS, claim: writeClaims(busy) }, member('b')];
    const shares = assign(members, counts(4));
    expect(slotsOf(shares)).toEqual({ a: [0, 1, 2, 3], b: [] });
    expect(shares.get('a')?.surplus).toEqual([2, 3]);
  });

  test('what is in hand stays before what is not', () => {
    const claims = [0, 1, 2, 3].map((slot) => ({ slot, busy: slot > 1 }));
    const shares = assign([{ id: 'a', topics: TOPICS, claim: writeClaims(claims) }, member('b')], counts(4));
    expect(slotsOf(shares)).toEqual({ a: [2, 3], b: [0, 1] });
    expect(shares.get('a')?.surplus).toEqual([]);
  });
});
