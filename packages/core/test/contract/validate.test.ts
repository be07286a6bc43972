import type { StandardSchemaV1 } from '@standard-schema/spec';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Contract, VersionStep } from '../../src/contract/contract.ts';
import { upcast, validate } from '../../src/contract/validate.ts';
import { defineCommand, defineEvent } from '../../src/index.ts';
import { refusal, rejection } from './kit.ts';

const Order = defineEvent('order.placed', z.object({ id: z.string(), total: z.number() }), { topic: 'orders' })
  .evolve(z.object({ id: z.string(), total: z.number(), currency: z.string().min(3) }), (v1) => ({
    ...v1,
    currency: 'EUR',
  }))
  .evolve(z.object({ id: z.string(), cents: z.number().int(), currency: z.string() }), (v2) => ({
    id: v2.id,
    cents: Math.round(v2.total * 100),
    currency: v2.currency,
  }));

/** A contract of `count` versions that writes down what it is asked; version `broken` refuses everything. */
function recorder(count: number, later: boolean, broken?: number): { contract: Contract; calls: string[] } {
  const calls: string[] = [];
  const step = (version: number): VersionStep => {
    const result = (value: unknown) =>
      version === broken ? { issues: [{ message: 'broken' }] } : { value: [...(value as number[]), version] };
    const schema: StandardSchemaV1 = {
      '~standard': {
        version: 1,
        vendor: 'recorder',
        validate: (value) => {
          calls.push(`validate ${version}`);
          return later ? Promise.resolve(result(value)) : result(value);
        },
      },
    };
    if (version === 1) return { schema };
    return {
      schema,
      upcast: (older) => {
        calls.push(`upcast to ${version}`);
        return [...(older as number[]), -version];
      },
    };
  };
  const versions = Array.from({ length: count }, (_, index) => step(index + 1));
  const latest = versions[count - 1] as VersionStep;
  return {
    contract: { kind: 'event', type: 'recorded', version: count, schema: latest.schema, versions, keyed: false },
    calls,
  };
}

describe('upcast', () => {
  it('makes data of the first version data of the third, step by step', () => {
    expect(upcast(Order, 1, { id: 'a', total: 1.5 })).toEqual({ id: 'a', cents: 150, currency: 'EUR' });
    expect(upcast(Order, 2, { id: 'a', total: 1.5, currency: 'USD' })).toEqual({
      id: 'a',
      cents: 150,
      currency: 'USD',
    });
    expect(upcast(Order, 3, { id: 'a', cents: 5, currency: 'USD' })).toEqual({ id: 'a', cents: 5, currency: 'USD' });
  });

  it('validates the oldest version before its upcast sees the data', () => {
    expect(refusal(() => upcast(Order, 1, { id: 'a', total: '1.5' }))).toEqual({
      code: 'INVALID_MESSAGE',
      message: expect.stringMatching(/^"order\.placed" version 1 does not fit its schema: total: /) as unknown,
    });
  });

  it('validates what an upcast returned', () => {
    expect(refusal(() => upcast(Order, 2, { id: 'a', total: 0.1, currency: 'E' })).message).toMatch(
      /version 2 .* currency: /,
    );
    expect(refusal(() => upcast(Order, 2, { id: 'a', total: Infinity, currency: 'EUR' })).code).toBe('INVALID_MESSAGE');
  });

  it('asks each version once, in turn, from any version on', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
        fc.boolean(),
        async (a, b, later) => {
          const [from, count] = a < b ? [a, b] : [b, a];
          const { contract, calls } = recorder(count, later);
          const value = await upcast(contract, from, []);
          const steps: string[] = [`validate ${from}`];
          const trace: number[] = [from];
          for (let version = from + 1; version <= count; version += 1) {
            steps.push(`upcast to ${version}`, `validate ${version}`);
            trace.push(-version, version);
          }
          expect(calls).toEqual(steps);
          expect(value).toEqual(trace);
        },
      ),
    );
  });

  it('stops at the first version that refuses', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.boolean(), async (broken, later) => {
        const { contract, calls } = recorder(5, later, broken);
        const refused = await rejection(Promise.resolve().then(() => upcast(contract, 1, [])));
        expect(refused).toEqual({
          code: 'INVALID_MESSAGE',
          message: `"recorded" version ${broken} does not fit its schema: broken`,
        });
        expect(calls.at(-1)).toBe(`validate ${broken}`);
      }),
    );
  });

  it('answers at once where no schema is asynchronous', () => {
    expect(upcast(recorder(3, false).contract, 1, [])).not.toBeInstanceOf(Promise);
    expect(upcast(recorder(3, true).contract, 1, [])).toBeInstanceOf(Promise);
  });

  it('says UNKNOWN_VERSION for a newer version', () => {
    expect(refusal(() => upcast(Order, 4, {}))).toEqual({
      code: 'UNKNOWN_VERSION',
      message: '"order.placed" has version 4, this process knows versions 1 to 3: deploy consumers first.',
    });
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('takes no version %d', (version) => {
    expect(['UNKNOWN_VERSION', 'INVALID_MESSAGE']).toContain(refusal(() => upcast(Order, version, {})).code);
  });

  it.each([0, -1, 1.5, Number.NaN])(
    'says INVALID_MESSAGE for version %d: no newer process will ever know it',
    (version) => {
      expect(refusal(() => upcast(Order, version, {})).code).toBe('INVALID_MESSAGE');
    },
  );

  it('says INVALID_MESSAGE with the cause when an upcast throws', () => {
    const cause = new TypeError('no such member');
    const broken = defineCommand('a', z.object({})).evolve(z.object({}), () => {
      throw cause;
    });
    expect(() => upcast(broken, 1, {})).toThrow(
      expect.objectContaining({ code: 'INVALID_MESSAGE', message: 'The upcast of "a" from version 1 threw.', cause }),
    );
  });

  it('rejects when an upcast throws behind an asynchronous schema', async () => {
    const slow = defineCommand(
      'a',
      z.object({}).refine(async () => true),
    ).evolve(z.object({}), () => {
      throw new TypeError('no such member');
    });
    expect((await rejection(upcast(slow, 1, {}) as Promise<unknown>)).message).toBe(
      'The upcast of "a" from version 1 threw.',
    );
  });
});

describe('validate', () => {
  it('returns the output of the schema', () => {
    const Dated = defineCommand('a', z.object({ at: z.coerce.date() }));
    expect(validate(Dated, 1, { at: '2026-01-01T00:00:00Z' })).toEqual({ at: new Date('2026-01-01T00:00:00Z') });
  });

  it('waits for an asynchronous schema', async () => {
    const schema = z.object({ n: z.number() }).refine(async ({ n }) => n > 0, 'is not above 0');
    const Slow = defineCommand('slow', schema);
    await expect(validate(Slow, 1, { n: 1 })).resolves.toEqual({ n: 1 });
    expect(await rejection(validate(Slow, 1, { n: 0 }) as Promise<unknown>)).toEqual({
      code: 'INVALID_MESSAGE',
      message: '"slow" version 1 does not fit its schema: is not above 0',
    });
  });

  it('lists every issue with its path', () => {
    const schema = z.object({
      lines: z.array(z.object({ sku: z.string('is no text'), count: z.number('is no number') })),
    });
    const Cart = defineCommand('cart', schema);
    const data = {
      lines: [
        { sku: 'a', count: 1 },
        { sku: 2, count: 'x' },
      ],
    };
    expect(refusal(() => validate(Cart, 1, data)).message).toBe(
      '"cart" version 1 does not fit its schema: lines.1.sku: is no text; lines.1.count: is no number',
    );
  });

  it('writes paths of objects and symbols, as the standard allows', () => {
    const path = [{ key: 'lines' }, 0, Symbol('hidden')];
    const schema: StandardSchemaV1 = {
      '~standard': { version: 1, vendor: 'by-hand', validate: () => ({ issues: [{ message: 'is wrong', path }] }) },
    };
    expect(refusal(() => validate(defineCommand('a', schema), 1, {})).message).toMatch(
      /lines\.0\.Symbol\(hidden\): is wrong$/,
    );
  });

  it('keeps the issues as the cause', () => {
    const Order1 = defineCommand('a', z.string('is no text'));
    expect(() => validate(Order1, 1, 1)).toThrow(
      expect.objectContaining({ cause: [expect.objectContaining({ message: 'is no text' })] }),
    );
  });

  it('knows no version that was not defined', () => {
    expect(refusal(() => validate(Order, 9, {})).code).toBe('UNKNOWN_VERSION');
  });

  it('waits for a result that is a promise of another library', async () => {
    const thenable = { then: (done: (result: unknown) => void) => done({ issues: [{ message: 'is wrong' }] }) };
    const schema = { '~standard': { version: 1, vendor: 'by-hand', validate: () => thenable } };
    const Thenable = defineCommand('a', schema as never);
    expect((await rejection(Promise.resolve().then(() => validate(Thenable, 1, {})))).code).toBe('INVALID_MESSAGE');
  });
});
