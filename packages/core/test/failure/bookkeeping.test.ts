import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bookkeeping, failureText, readBookkeeping, writeBookkeeping } from '../../src/failure/bookkeeping.ts';

const KIB = 1024;
const anyText = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0xffff })), { maxLength: 200 })
  .map((codes) => String.fromCharCode(...codes));
const longText = fc.tuple(anyText, fc.integer({ min: 1, max: 100 })).map(([text, times]) => text.repeat(times));
const time = fc.integer({ min: 0, max: 8_640_000_000_000_000 });
const count = fc.integer({ min: 1, max: 1_000_000 });

function errorOf(name: string, message: string, stack?: string): Error {
  const error = new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** The longest that Waybill writes of anything but the error. */
const everything: Omit<Bookkeeping, 'error'> = {
  attempt: 1_000_000,
  queue: 'q'.repeat(50),
  topic: 't'.repeat(200),
  notBefore: 8_640_000_000_000_000,
  redrives: 1_000_000,
  hops: 1_000_000,
  unknownSince: 8_640_000_000_000_000,
  firstFailedAt: 8_640_000_000_000_000,
  reason: 'unknown-version',
  deadAt: 8_640_000_000_000_000,
  id: '019f0000-0000-5000-8000-000000000000',
};

function sizeOf(header: string): number {
  expect(header).toMatch(/^[\x20-\x7e]*$/);
  return header.length;
}

describe('the header', () => {
  it('comes back as it was written', () => {
    const bookkeeping = fc.record(
      {
        attempt: count,
        queue: fc.string(),
        topic: anyText,
        notBefore: time,
        redrives: count,
        hops: count,
        unknownSince: time,
        firstFailedAt: time,
        error: fc.record({ name: anyText, message: anyText, stack: anyText }, { requiredKeys: ['name', 'message'] }),
        reason: anyText,
        deadAt: time,
        id: anyText,
      },
      { requiredKeys: ['attempt', 'queue'] },
    );
    fc.assert(
      fc.property(bookkeeping, (given) => {
        const header = writeBookkeeping(given);
        expect(header).toMatch(/^[\x20-\x7e]*$/);
        expect(readBookkeeping(header)).toEqual(given);
      }),
    );
  });

  it('has at most 4 KiB of ASCII, whatever error is thrown', () => {
    fc.assert(
      fc.property(longText, longText, longText, (name, message, stack) => {
        const error = failureText(errorOf(name, message, stack), true);
        expect(sizeOf(writeBookkeeping({ ...everything, error }))).toBeLessThanOrEqual(4 * KIB);
      }),
    );
  });

  it('has at most 4 KiB of ASCII, whatever else is thrown', () => {
    fc.assert(
      fc.property(fc.anything(), fc.boolean(), (thrown, withStack) => {
        const error = failureText(thrown, withStack);
        expect([typeof error.name, typeof error.message]).toEqual(['string', 'string']);
        expect(sizeOf(writeBookkeeping({ ...everything, error }))).toBeLessThanOrEqual(4 * KIB);
      }),
    );
  });

  it.each(['😀', 'ä', '"', '\\', '\n', '\u0000', '\u007f', '\ud800', 'x'])(
    'has at most 4 KiB of ASCII for an error of 64 KiB of %j',
    (character) => {
      const long = character.repeat((64 * KIB) / Buffer.byteLength(character));
      const error = failureText(errorOf(long, long, long), true);
      const header = writeBookkeeping({ ...everything, error });
      expect(sizeOf(header)).toBeLessThanOrEqual(4 * KIB);
      expect(sizeOf(header)).toBeGreaterThan(KIB);
      expect(readBookkeeping(header)?.error).toEqual(error);
    },
  );

  it('has at most 4 KiB when it is written again after others have written to it', () => {
    const foreign = {
      attempt: 2,
      queue: 'billing',
      note: 'x'.repeat(10 * KIB),
      error: { name: 'E', message: 'y'.repeat(10 * KIB) },
    };
    const read = readBookkeeping(JSON.stringify(foreign)) ?? { attempt: 1, queue: 'billing' };
    expect(sizeOf(writeBookkeeping({ ...read, attempt: 3 }))).toBeLessThanOrEqual(4 * KIB);
  });

  it('is none on a first delivery', () => {
    expect(readBookkeeping(undefined)).toBeUndefined();
  });

  it.each([
    '',
    ' ',
    '{',
    'null',
    '2',
    '"text"',
    '[]',
    '{}',
    '{"queue":"billing"}',
    '{"attempt":0}',
    '{"attempt":-1}',
    '{"attempt":1.5}',
    '{"attempt":"2"}',
    '{"attempt":null}',
    '\u0000',
  ])('is not ours where it is %j', (header) => {
    expect(readBookkeeping(header)).toBeUndefined();
  });

  it('is read also where a newer release wrote more', () => {
    expect(readBookkeeping('{"attempt":2,"queue":"billing","added":{"later":true}}')).toMatchObject({
      attempt: 2,
      queue: 'billing',
    });
  });

  it('throws at nothing', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (header) => void readBookkeeping(header)));
  });

  it.each([
    ['queue', 7],
    ['redrives', 'x'.repeat(100)],
    ['redrives', -1],
    ['hops', '1'],
    ['hops', 1e300],
    ['notBefore', 'soon'],
    ['unknownSince', {}],
    ['firstFailedAt', null],
    ['error', 'a text'],
    ['error', { name: 1, message: {} }],
    ['id', { a: 1 }],
  ])('drops %s of %j, which is not ours', (name, value) => {
    const read = readBookkeeping(JSON.stringify({ attempt: 2, queue: 'billing', [name]: value }));
    expect(read?.[name as keyof Bookkeeping]).not.toEqual(value);
  });
});

describe('failureText', () => {
  it('keeps name and message, and the stack where it is asked for', () => {
    const error = errorOf('TypeError', 'no such order', 'TypeError: no such order\n    at handle');
    expect(failureText(error, false)).toEqual({ name: 'TypeError', message: 'no such order' });
    expect(failureText(error, true)).toEqual({
      name: 'TypeError',
      message: 'no such order',
      stack: 'TypeError: no such order\n    at handle',
    });
  });

  it('cuts the message with its name to 1 KiB and the stack to 2 KiB, as the header spends them', () => {
    fc.assert(
      fc.property(longText, longText, longText, (name, message, stack) => {
        const text = failureText(errorOf(name, message, stack), true);
        const spent = (part: unknown): number => writeBookkeeping(part as Bookkeeping).length;
        expect(spent({ name: text.name, message: text.message })).toBeLessThanOrEqual(KIB);
        expect(spent(text.stack)).toBeLessThanOrEqual(2 * KIB + 2);
        expect(message.startsWith(text.message)).toBe(true);
        expect(stack.startsWith(text.stack ?? '')).toBe(true);
      }),
    );
  });

  it('keeps what fits whole', () => {
    const message = 'x'.repeat(800);
    const stack = 'y'.repeat(2_000);
    expect(failureText(errorOf('E', message, stack), true)).toEqual({ name: 'E', message, stack });
  });

  it('cuts between characters, not inside one', () => {
    const { message } = failureText(errorOf('E', `x${'😀'.repeat(1_000)}`), false);
    expect(message).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])/);
  });

  it.each([
    ['a text', 'no such order', 'no such order'],
    ['an object', { code: 7 }, '{"code":7}'],
    ['null', null, 'null'],
    ['undefined', undefined, 'undefined'],
    ['a number', 7, '7'],
    ['a function', () => undefined, 'function'],
    ['a bigint', 7n, 'a value that has no text'],
  ])('names what is thrown: %s', (_, thrown, text) => {
    const { name, message } = failureText(thrown, false);
    expect(name).toBe('Error');
    expect(message).toContain(text);
  });

  it('names a circle', () => {
    const circle: { self?: unknown } = {};
    circle.self = circle;
    expect(failureText(circle, false).message).toContain('a value that has no text');
  });

  it.each([
    ['undefined', undefined],
    ['an object', { code: 7 }],
    ['a number', 7],
    ['a bigint', 7n],
  ])('writes text where an error has %s for its name, message and stack', (_, odd) => {
    const error = Object.assign(new Error('x'), { name: odd, message: odd, stack: odd });
    const text = failureText(error, true);
    expect([typeof text.name, typeof text.message]).toEqual(['string', 'string']);
    expect(readBookkeeping(writeBookkeeping({ attempt: 1, queue: 'q', error: text }))?.error).toEqual(text);
  });

  it('writes text where the members of an error throw', () => {
    const hostile = Object.defineProperty(new Error('x'), 'message', {
      get: () => {
        throw new Error('no');
      },
    });
    expect(typeof failureText(hostile, true).message).toBe('string');
  });

  it('keeps the message of an error of another realm, as tests and plug-ins throw them', () => {
    const foreign = Object.setPrototypeOf(
      new Error('no such order'),
      Object.create(null, { name: { value: 'Error' } }) as object,
    ) as unknown;
    expect(failureText(foreign, false).message).toContain('no such order');
  });
});
