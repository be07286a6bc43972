import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Roster } from '../../src/driver/roster.ts';

interface Item {
  readonly name: number;
  place: number;
}

const item = (name: number): Item => ({ name, place: -1 });

describe('Roster', () => {
  it('keeps what a Set would, in the order it was added', () => {
    const change = fc.record({ adds: fc.boolean(), at: fc.nat() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 1_000 }), (changes) => {
        const roster = new Roster<Item>();
        const expected = new Set<Item>();
        for (const [name, { adds, at }] of changes.entries()) {
          const victim = adds ? undefined : [...expected][at % Math.max(expected.size, 1)];
          if (adds) {
            const added = item(name);
            roster.add(added);
            expected.add(added);
          } else if (victim !== undefined) {
            expected.delete(victim);
            expect(roster.delete(victim)).toBe(true);
            expect(roster.has(victim)).toBe(false);
            expect(roster.delete(victim)).toBe(false);
          }
        }
        expect([...roster]).toEqual([...expected]);
        expect(roster.size).toBe(expected.size);
        expect(roster.first).toBe([...expected][0]);
        expect([...expected].every((each) => roster.has(each))).toBe(true);
      }),
    );
  });

  it('closes its gaps while one thing stays for ever', () => {
    const roster = new Roster<Item>();
    const [stays, last] = [item(0), item(1)];
    roster.add(stays);
    for (let name = 2; name < 10_000; name += 1) {
      const passes = item(name);
      roster.add(passes);
      roster.delete(passes);
    }
    roster.add(last);
    expect([...roster]).toEqual([stays, last]);
    expect(last.place).toBeLessThan(100);
  });

  it('knows nothing that was never added, or was cleared', () => {
    const roster = new Roster<Item>();
    const added = item(0);
    roster.add(added);
    expect(roster.has(item(1))).toBe(false);
    expect(roster.delete(item(1))).toBe(false);
    roster.clear();
    expect(roster.has(added)).toBe(false);
    expect(roster.size).toBe(0);
    expect(roster.first).toBeUndefined();
  });

  it('hands out what was there when it was asked, whatever comes and goes meanwhile', () => {
    const roster = new Roster<Item>();
    const first = [item(0), item(1)] as const;
    for (const each of first) roster.add(each);
    const seen: Item[] = [];
    for (const each of roster) {
      seen.push(each);
      for (const other of roster) roster.delete(other);
      for (let name = 2; name < 200; name += 1) roster.add(item(name));
    }
    expect(seen).toEqual(first);
  });
});
