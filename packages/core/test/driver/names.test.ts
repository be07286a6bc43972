import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkName, deadName, physicalName } from '../../src/driver/index.ts';
import { refusal } from '../contract/kit.ts';

describe('checkName', () => {
  it.each([
    'a',
    '0',
    '-',
    'billing',
    'eu.billing',
    'a-b.c-d.e',
    'dead',
    'delay',
    'p1',
    'dead.letters',
    'my.pages',
    'a.p',
    'a.p1x',
    'waybills',
  ])('takes %j', (name) => {
    expect(checkName('queue', name)).toBe(name);
    expect(checkName('topic', name)).toBe(name);
  });

  it.each([
    ['', 'is empty'],
    ['.', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['a.', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['.a', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['a..b', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['A', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['a_b', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['a b', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['a\n', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['ä', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['waybill', 'starts with "waybill.", which is reserved'],
    ['waybill.x', 'starts with "waybill.", which is reserved'],
    ['a.dead', 'ends with ".dead", which is reserved'],
    ['a.b.delay', 'ends with ".delay", which is reserved'],
    ['a.p0', 'ends with ".p0", which is reserved'],
    ['a.p123', 'ends with ".p123", which is reserved'],
  ])('refuses %j', (name, problem) => {
    for (const kind of ['queue', 'topic', 'prefix'] as const) {
      expect(refusal(() => checkName(kind, name))).toEqual({
        code: 'INVALID_ARGUMENT',
        message: `The ${kind} name "${name}" ${problem}.`,
      });
    }
  });

  it.each([
    ['queue', 50],
    ['topic', 200],
    ['prefix', 40],
  ] as const)('takes a %s of %d characters and no more', (kind, most) => {
    expect(checkName(kind, 'x'.repeat(most))).toHaveLength(most);
    expect(refusal(() => checkName(kind, 'x'.repeat(most + 1))).message).toContain(`is longer than ${most} characters`);
  });

  it.each([undefined, null, 7, {}, ['a']])('refuses %j, which is no text', (name) => {
    expect(refusal(() => checkName('queue', name as never)).code).toBe('INVALID_ARGUMENT');
  });

  it('takes only what stays different where a broker writes "." as "_"', () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-', '_'), minLength: 1, maxLength: 8 });
    const taken = (text: string): boolean => {
      try {
        return checkName('queue', text) === text;
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(name, name, (left, right) => {
        fc.pre(left !== right && taken(left) && taken(right));
        expect(left.replaceAll('.', '_')).not.toBe(right.replaceAll('.', '_'));
      }),
    );
  });

  it('refuses a name that an adapter gives a delay topic: billing.delay.5s', () => {
    expect(refusal(() => checkName('topic', 'billing.delay.5s')).code).toBe('INVALID_ARGUMENT');
  });
});

describe('names on a broker', () => {
  it('have the prefix before them', () => {
    expect(physicalName('', 'billing')).toBe('billing');
    expect(physicalName('staging.eu', 'billing')).toBe('staging.eu.billing');
  });

  it('of dead lanes are names that no queue can have', () => {
    expect(deadName('billing')).toBe('billing.dead');
    expect(refusal(() => checkName('queue', deadName('billing'))).message).toContain('reserved');
  });
});
