import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Bookkeeping } from '../../src/failure/bookkeeping.ts';
import { readBookkeeping } from '../../src/failure/bookkeeping.ts';
import { copyId, copyOf } from '../../src/failure/copies.ts';
import { taskOf } from './kit.ts';

const bookkeepingOf = (more: Partial<Bookkeeping>): Bookkeeping => ({ attempt: 1, queue: 'billing', ...more });
const plainId = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 96,
});
const anyText = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { minLength, maxLength, size: 'max' })
    .map((codes) => String.fromCharCode(...codes));
const lane = fc.constantFrom('work' as const, 'dead' as const);
/** One more than the retries that options allow, and a day of waits of 5 s. */
const place = fc.record({
  attempt: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 101 })),
  redrives: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 9_999 })),
  hops: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 20_000 })),
});

describe('the id of a copy', () => {
  it.each([
    ['a retry', { attempt: 2 }, 'work', 'x#a2'],
    ['a hop of a retry', { attempt: 2, hops: 1 }, 'work', 'x#a2h1'],
    ['a hop of a delayed send', { hops: 3 }, 'work', 'x#h3'],
    ['a redrive', { redrives: 1 }, 'work', 'x#r1'],
    ['a retry after a redrive', { redrives: 1, attempt: 3, hops: 2 }, 'work', 'x#r1a3h2'],
    ['a dead letter', { attempt: 5 }, 'dead', 'x#d'],
    ['a dead letter after a redrive', { attempt: 5, redrives: 2, hops: 4 }, 'dead', 'x#r2d'],
  ] as const)('of %s', (_, bookkeeping, to, id) => {
    expect(copyId('x', bookkeepingOf(bookkeeping), to)).toBe(id);
  });

  it('is the same for the same place: a crash between copy and settle stores no second one', () => {
    fc.assert(
      fc.property(plainId, place, lane, (id, at, to) => {
        expect(copyId(id, bookkeepingOf(at), to)).toBe(
          copyId(id, bookkeepingOf({ ...at, firstFailedAt: 1, reason: 'rejected' }), to),
        );
      }),
    );
  });

  it('is another for every other place in the work lane', () => {
    fc.assert(
      fc.property(plainId, place, place, (id, left, right) => {
        const equal = left.attempt === right.attempt && left.redrives === right.redrives && left.hops === right.hops;
        expect(copyId(id, bookkeepingOf(left), 'work') === copyId(id, bookkeepingOf(right), 'work')).toBe(equal);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is another for every redrive in the dead lane, and none of the work lane', () => {
    fc.assert(
      fc.property(plainId, place, place, (id, left, right) => {
        const dead = copyId(id, bookkeepingOf(left), 'dead');
        expect(dead === copyId(id, bookkeepingOf(right), 'dead')).toBe(left.redrives === right.redrives);
        expect(dead).not.toBe(copyId(id, bookkeepingOf(right), 'work'));
      }),
      { numRuns: 2_000 },
    );
  });

  it('is never the id of the first delivery', () => {
    fc.assert(fc.property(plainId, place, lane, (id, at, to) => copyId(id, bookkeepingOf(at), to) !== id));
  });

  it('has at most 120 printable ASCII characters', () => {
    const anyId = fc.oneof(plainId, anyText(1, 400), fc.constant('ä'.repeat(96)), fc.constant('x'.repeat(97)));
    fc.assert(
      fc.property(anyId, place, lane, (id, at, to) => {
        expect(copyId(id, bookkeepingOf(at), to)).toMatch(/^[\x21-\x7e]{1,120}$/);
      }),
    );
    expect(
      copyId('x'.repeat(96), bookkeepingOf({ attempt: 101, redrives: 9_999, hops: 99_999 }), 'work').length,
    ).toBeLessThanOrEqual(120);
  });

  it('differs for ids that differ, also where they are longer than brokers take', () => {
    const foreign = fc.oneof(
      anyText(90, 200),
      plainId.filter((id) => !id.includes('#')),
    );
    fc.assert(
      fc.property(foreign, foreign, place, lane, (left, right, at, to) => {
        fc.pre(left !== right && !left.includes('#') && !right.includes('#'));
        expect(copyId(left, bookkeepingOf(at), to)).not.toBe(copyId(right, bookkeepingOf(at), to));
      }),
    );
  });
});

describe('copyOf', () => {
  const target = { queue: 'billing', lane: 'work' } as const;

  it('moves the bytes and headers as they came, with its bookkeeping renewed', () => {
    const task = taskOf({}, { headers: { 'x-foreign': 'ä', waybill: '{"attempt":1,"queue":"billing"}' } });
    const copy = copyOf(task, target, bookkeepingOf({ attempt: 2 }));
    expect(copy.body).toBe(task.delivery.body);
    expect(copy).toMatchObject({
      target,
      id: 'order-7#a2',
      type: 'order.placed',
      contentType: task.delivery.contentType,
    });
    expect(copy.headers['x-foreign']).toBe('ä');
    expect(readBookkeeping(copy.headers['waybill'])).toEqual({ attempt: 2, queue: 'billing' });
    expect(task.delivery.headers['waybill']).toBe('{"attempt":1,"queue":"billing"}');
  });

  it('has a key and a time only where it is given them', () => {
    const bare = copyOf(taskOf({}, { key: 'customer-7' }), target, bookkeepingOf({ attempt: 2 }));
    expect(bare).not.toHaveProperty('key');
    expect(bare).not.toHaveProperty('notBefore');
    expect(copyOf(taskOf(), target, bookkeepingOf({ attempt: 2 }), { key: 'k', notBefore: 5 })).toMatchObject({
      key: 'k',
      notBefore: 5,
    });
  });
});
