import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { uuidv5, uuidv7 } from '../../src/envelope/ids.ts';
import { anyText } from './kit.ts';

const V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const V5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

// The generator keeps its place for the whole process: each test starts after those before it.
let latest = Date.now();
function later(): number {
  latest += 1_000_000;
  return latest;
}

function msOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

function isSorted(ids: readonly string[]): boolean {
  return ids.every((id, index) => index === 0 || (ids[index - 1] as string) < id);
}

describe('uuidv7', () => {
  it('is a UUIDv7 with the time in its first 48 bits', () => {
    const now = later();
    const id = uuidv7(now);
    expect(id).toMatch(V7);
    expect(msOf(id)).toBe(now);
  });

  it('is made now unless told otherwise, and keeps its form up to the last time that it has room for', async () => {
    vi.resetModules();
    const fresh = await import('../../src/envelope/ids.ts');
    const before = Date.now();
    const made = msOf(fresh.uuidv7());
    expect(made).toBeGreaterThanOrEqual(before);
    expect(made).toBeLessThanOrEqual(Date.now());
    expect(fresh.uuidv7(2 ** 48 - 1)).toMatch(/^ffffffff-ffff-7/);
  });

  it('sorts 100,000 ids of one millisecond as they were made, all different', () => {
    const now = later();
    const ids = Array.from({ length: 100_000 }, () => uuidv7(now));
    expect(isSorted(ids)).toBe(true);
    expect(new Set(ids).size).toBe(100_000);
    expect(ids.every((id) => V7.test(id))).toBe(true);
    // It borrows from the milliseconds to come, 4,096 ids each.
    expect(msOf(ids.at(-1) as string) - now).toBeLessThan(30);
  });

  it('sorts ids as they were made when the clock goes back', () => {
    const now = later();
    const ids = [uuidv7(now), uuidv7(now - 60_000), uuidv7(now - 1), uuidv7(0), uuidv7(now), uuidv7(now + 1)];
    expect(isSorted(ids)).toBe(true);
    expect(msOf(ids.at(-1) as string)).toBe(now + 1);
  });

  it('sorts ids as they were made whatever the clock does', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 2, maxLength: 200 }), (steps) => {
        let now = later();
        const ids = steps.map((step) => {
          now += step;
          return uuidv7(now);
        });
        expect(isSorted(ids)).toBe(true);
      }),
    );
  });

  it('sorts ids as they were made by a clock that shows parts of a millisecond', () => {
    const now = later();
    const ids = Array.from({ length: 1_000 }, (_, index) => uuidv7(now + index / 1_000));
    expect(isSorted(ids)).toBe(true);
  });

  it('leaves room above its counter at the start of a millisecond', () => {
    for (let round = 0; round < 500; round += 1) {
      const counter = Number.parseInt(uuidv7(later()).slice(15, 18), 16);
      expect(counter).toBeLessThan(0x800);
    }
  });

  it('has 62 random bits: each of them is set in about half of many ids', () => {
    const now = later();
    const rounds = 4_000;
    const set = Array.from({ length: 64 }, () => 0);
    for (let round = 0; round < rounds; round += 1) {
      const tail = BigInt(`0x${uuidv7(now).slice(19).replaceAll('-', '')}`);
      for (let bit = 0; bit < 64; bit += 1) if ((tail >> BigInt(bit)) & 1n) set[bit] = (set[bit] as number) + 1;
    }
    // Bits 62 and 63 are the variant. 8 standard deviations of a fair coin.
    for (const count of set.slice(0, 62)) expect(Math.abs(count - rounds / 2)).toBeLessThan(8 * Math.sqrt(rounds / 4));
    expect(set.slice(62)).toEqual([0, rounds]);
  });
});

describe('uuidv5', () => {
  it('is a UUIDv5', () => {
    fc.assert(fc.property(fc.array(anyText), (parts) => V5.test(uuidv5(...parts))));
  });

  it('is the same on every machine and in every release', () => {
    expect(uuidv5('billing', '019f0000-0000-7000-8000-000000000000', '0')).toBe('49300ed6-aa3c-5d29-a5eb-a8064c11a6af');
  });

  it('is equal for equal parts and different for different ones', () => {
    const part = fc.string({ unit: fc.constantFrom('a', 'b', '0', '1') });
    fc.assert(
      fc.property(fc.tuple(part, part, part), fc.tuple(part, part, part), (left, right) => {
        expect(uuidv5(...left) === uuidv5(...right)).toBe(left.every((text, index) => text === right[index]));
      }),
    );
  });

  it('tells where one part ends and the next begins', () => {
    expect(uuidv5('a', 'bc')).not.toBe(uuidv5('ab', 'c'));
    expect(uuidv5('a', '')).not.toBe(uuidv5('a'));
  });
});
