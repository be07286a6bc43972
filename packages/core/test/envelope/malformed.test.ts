import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, WaybillError } from '../../src/index.ts';
import { RESERVED_ATTRIBUTES } from '../../src/envelope/decode.ts';
import { structured, undecodable, utf8 } from './kit.ts';

const required = { specversion: '1.0', id: 'a', source: '/s', type: 't' };
const STRUCTURED = 'application/cloudevents+json';

/** Decodes, or fails with INVALID_MESSAGE: nothing else may come out. */
function tryDecode(contentType: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}): unknown {
  try {
    return decode({ contentType, body, headers });
  } catch (error) {
    if (WaybillError.is(error) && error.code === 'INVALID_MESSAGE') return error;
    throw error;
  }
}

const anyContentType = fc.constantFrom(
  STRUCTURED,
  'application/json',
  'text/plain',
  '',
  'application/octet-stream',
  ';',
  '\u0000',
);
const ceHeaders = { 'ce-specversion': '1.0', 'ce-id': 'a', 'ce-source': '/s', 'ce-type': 't' };
const deep = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
/** With `value` as JSON text: deeper than JSON.stringify could write it. */
const withText = (name: string, value: string): string =>
  `${JSON.stringify(required).slice(0, -1)},${JSON.stringify(name)}:${value}}`;

describe('decode', () => {
  it('decodes random bytes, or says INVALID_MESSAGE', () => {
    fc.assert(
      fc.property(
        anyContentType,
        fc.uint8Array(),
        fc.dictionary(fc.string(), fc.string()),
        (contentType, body, headers) => {
          tryDecode(contentType, body, headers);
          tryDecode(contentType, body, { ...headers, ...ceHeaders });
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('decodes random JSON, or says INVALID_MESSAGE', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        tryDecode(STRUCTURED, utf8(json));
        tryDecode('application/json', utf8(json), ceHeaders);
      }),
      { numRuns: 1_000 },
    );
  });

  const attribute = fc.constantFrom(...RESERVED_ATTRIBUTES, '__proto__', 'constructor', 'toString', 'subject');
  const scalar = fc.oneof(
    fc.string(),
    fc.double(),
    fc.constantFrom(true, false, null, '', '9'.repeat(400), Number.MAX_VALUE, Number.MAX_SAFE_INTEGER),
  );
  const eventText = (attributes: readonly (readonly [string, unknown])[], complete: boolean): string => {
    const all = [...(complete ? Object.entries(required) : []), ...attributes];
    // As text, so that a name may come twice and numbers may be larger than numbers are.
    return `{${all.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')},"n":1e400}`;
  };

  it('decodes random attributes of text, numbers, booleans and null, or says INVALID_MESSAGE', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(attribute, scalar), { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        (attributes, complete) => {
          tryDecode(STRUCTURED, utf8(eventText(attributes, complete)));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('decodes random attributes of any type, or says INVALID_MESSAGE', () => {
    const value = fc.oneof(scalar, fc.jsonValue(), fc.constant({ toString: 1, valueOf: 1 }));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(attribute, value), { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        (attributes, complete) => {
          tryDecode(STRUCTURED, utf8(eventText(attributes, complete)));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['nothing', ''],
    ['text that is no JSON', '{'],
    ['a list', '[]'],
    ['a number', '1'],
    ['null', 'null'],
    ['a text', '"a"'],
    ['an empty object', '{}'],
    ['a byte order mark', '\ufeff{}'],
  ])('says INVALID_MESSAGE for %s', (_, body) => {
    expect(undecodable(() => structured(body))).toMatch(/^The message cannot be decoded: ./);
  });

  it('keeps the cause where JSON cannot be parsed', () => {
    expect(tryDecode(STRUCTURED, utf8('{'))).toMatchObject({ cause: expect.any(SyntaxError) as unknown });
  });

  it.each([
    ['a lone continuation byte', [0x22, 0x80, 0x22]],
    ['an overlong form', [0x22, 0xc0, 0xaf, 0x22]],
    ['half a surrogate pair', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['a cut sequence', [0x22, 0xf0, 0x9f, 0x98]],
  ])('says INVALID_MESSAGE for bytes that are no UTF-8: %s', (_, bytes) => {
    for (const contentType of ['application/json', 'text/plain']) {
      expect(undecodable(() => decode({ contentType, body: new Uint8Array(bytes), headers: ceHeaders }))).toMatch(
        /is not UTF-8/,
      );
    }
  });

  it('reads data of any depth', () => {
    const event = structured(withText('data', deep(100_000)));
    let depth = 0;
    for (let value = event.data; Array.isArray(value); value = value[0] as unknown) depth += 1;
    expect(depth).toBe(100_000);
  });

  const texts = ['time', 'correlationid', 'causationid', 'partitionkey', 'sequence', 'traceparent', 'tracestate'];

  it.each(['id', 'source', 'type', ...texts])('says INVALID_MESSAGE where %s is no text and no number', (name) => {
    for (const value of [deep(100_000), '{"toString":1,"valueOf":1}', '{"a":1}', '["a"]']) {
      expect(undecodable(() => structured(withText(name, value)))).toMatch(/is (missing or no|neither) text/);
    }
  });

  it.each(['dataversion', 'specversion'])('says INVALID_MESSAGE where %s is nested deeply', (name) => {
    tryDecode(STRUCTURED, utf8(withText(name, deep(100_000))));
  });

  it('says INVALID_MESSAGE where dataversion is an object that has no text', () => {
    tryDecode(STRUCTURED, utf8(withText('dataversion', '{"toString":1,"valueOf":1}')));
  });

  it('takes no object for an extension: CloudEvents has text, numbers and booleans', () => {
    expect(undecodable(() => structured({ ...required, tenant: { a: 1 } }))).toMatch(/tenant/);
  });

  it('changes no prototype', () => {
    tryDecode(STRUCTURED, utf8(withText('__proto__', '{"polluted":true}')));
    tryDecode(STRUCTURED, utf8(withText('constructor', '{"prototype":{"polluted":true}}')));
    tryDecode('text/plain', utf8(''), { ...ceHeaders, 'ce-__proto__': 'polluted' });
    expect({}).not.toHaveProperty('polluted');
  });

  it('keeps the prototype of extensions', () => {
    const { extensions } = structured(withText('__proto__', '{"admin":true}')).metadata;
    expect((extensions as { admin?: unknown } | undefined)?.admin).toBeUndefined();
  });

  it('keeps __proto__ of the data as a member like any other', () => {
    const { data } = structured(withText('data', '{"__proto__":{"admin":true}}'));
    expect(Object.getPrototypeOf(data)).toBe(Object.prototype);
    expect(Object.keys(data as object)).toEqual(['__proto__']);
  });

  it('says INVALID_MESSAGE where data_base64 is no text', () => {
    expect(undecodable(() => structured({ ...required, data_base64: 7 }))).toMatch(/its data_base64 is not a string/);
  });

  it.each(['!!!!', 'AP8', 'A', 'AP8=AP8=', 'AP8 = '])(
    'says INVALID_MESSAGE for data_base64 %j, which is no base64',
    (base64) => {
      expect(undecodable(() => structured({ ...required, data_base64: base64 }))).toMatch(/base64/);
    },
  );

  it('writes a short sentence, however large the message', () => {
    const huge = 'x'.repeat(100_000);
    for (const event of [{ ...required, id: { huge } }, { ...required, source: '' }, { huge }]) {
      expect(undecodable(() => structured(event)).length).toBeLessThan(500);
    }
    expect(undecodable(() => structured(huge)).length).toBeLessThan(500);
  });

  it.each(['specversion', 'dataversion'])('writes a short sentence, however large the %s', (name) => {
    expect(undecodable(() => structured({ ...required, [name]: 'x'.repeat(100_000) })).length).toBeLessThan(500);
  });
});
