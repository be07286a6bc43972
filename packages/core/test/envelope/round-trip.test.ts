import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode } from '../../src/index.ts';
import { type Encoded, encodeBinary, encodeStructured } from '../../src/envelope/encode.ts';
import type { Message, Metadata } from '../../src/envelope/envelope.ts';
import { anyBytes, anyJson, anyMetadata, messageOf, metadata } from './kit.ts';

const modes: readonly [string, (message: Message) => Encoded][] = [
  ['structured', encodeStructured],
  ['binary', encodeBinary],
];
const MIB = 1024 * 1024;

/** In binary mode every attribute is a header, and a header is text. */
function asCarried(mode: string, given: Metadata): Metadata {
  if (mode === 'structured' || given.extensions === undefined) return given;
  const extensions = Object.entries(given.extensions).map(([name, value]) => [name, String(value)]);
  return { ...given, extensions: Object.fromEntries(extensions) as Record<string, string> };
}

/** Half of a surrogate pair is no UTF-8, which headers are. */
function fits(mode: string, { extensions, ...attributes }: Metadata): boolean {
  const texts = [...Object.values(attributes), ...Object.values(extensions ?? {})].map(String);
  return mode === 'structured' || texts.every((text) => Buffer.from(text).toString() === text);
}

describe.each(modes)('%s mode', (mode, encode) => {
  it('brings any JSON and any metadata back equal, or refuses what no header can carry', () => {
    fc.assert(
      fc.property(anyJson, anyMetadata, (data, given) => {
        const message = { type: 'order.placed', data, metadata: given };
        if (!fits(mode, given)) {
          expect(() => encode(message)).toThrow('half of a surrogate pair');
          return;
        }
        const back = decode(encode(message));
        expect(back).toEqual({ type: 'order.placed', data, metadata: asCarried(mode, given) });
      }),
      { numRuns: 500 },
    );
  });

  it('brings bytes back byte for byte', () => {
    fc.assert(
      fc.property(anyBytes, (data) => {
        const back = decode(encode(messageOf(data))).data;
        expect(back).toBeInstanceOf(Uint8Array);
        expect([...(back as Uint8Array)]).toEqual([...data]);
      }),
    );
  });

  it('writes the body of bytes that are a part of a larger buffer, and nothing beside them', () => {
    const part = new Uint8Array([1, 2, 3, 4, 5, 6]).subarray(2, 4);
    expect([...(decode(encode(messageOf(part))).data as Uint8Array)]).toEqual([3, 4]);
    expect([...(decode(encode(messageOf(Buffer.from('abc').subarray(1)))).data as Uint8Array)]).toEqual([98, 99]);
  });

  it('reads a body that is a part of a larger buffer', () => {
    const { contentType, body, headers } = encode(messageOf({ a: 'ü' }));
    const larger = new Uint8Array(body.length + 20).fill(0xff);
    larger.set(body, 10);
    expect(decode({ contentType, headers, body: larger.subarray(10, 10 + body.length) }).data).toEqual({ a: 'ü' });
  });

  it.each([
    ['null', null],
    ['false', false],
    ['0', 0],
    ['an empty text', ''],
    ['an empty object', {}],
    ['an empty list', []],
    ['Unicode of every plane', 'aä€😀\u{10ffff}\u0000\u2028'],
    ['halves of surrogate pairs, which JSON escapes', '\ud800 and \udfff'],
    ['the largest and smallest numbers', [Number.MAX_VALUE, Number.MIN_VALUE, Number.MAX_SAFE_INTEGER]],
    ['names that objects have already', JSON.parse('{"__proto__":{"a":1},"constructor":1,"toString":2}')],
  ])('brings %s back', (_, data) => {
    const back = decode(encode(messageOf(data))).data;
    expect(back).toEqual(data);
    expect(JSON.stringify(back)).toBe(JSON.stringify(data));
  });

  it('brings undefined back as undefined', () => {
    expect(decode(encode(messageOf(undefined)))).toEqual({ type: 'order.placed', data: undefined, metadata });
  });

  it('tells empty bytes from no data', () => {
    expect(decode(encode(messageOf(new Uint8Array(0)))).data).toBeInstanceOf(Uint8Array);
    expect(decode(encode(messageOf(undefined))).data).toBeUndefined();
  });

  it('brings 1 MiB of text back', () => {
    const text = 'ü😀"\\\n'.repeat(MIB / 9);
    expect(Buffer.byteLength(text)).toBeGreaterThan(0.99 * MIB);
    expect(decode(encode(messageOf(text))).data === text).toBe(true);
  });

  it('brings 1 MiB of bytes back', () => {
    const bytes = Uint8Array.from({ length: MIB }, (_, index) => (index * 31) & 255);
    expect(Buffer.compare(decode(encode(messageOf(bytes))).data as Uint8Array, bytes)).toBe(0);
  });

  it('encodes what the data is now, not what it becomes', () => {
    const data = { a: 1 };
    const encoded = encode(messageOf(data));
    data.a = 2;
    expect(decode(encoded).data).toEqual({ a: 1 });
    const bytes = new Uint8Array([1, 2]);
    const encodedBytes = encode(messageOf(bytes));
    bytes.fill(0);
    expect([...(decode(encodedBytes).data as Uint8Array)]).toEqual([1, 2]);
  });

  it('writes what JSON makes of values that it has no form for', () => {
    expect(decode(encode(messageOf({ at: new Date(0), gone: undefined, nan: Number.NaN, zero: -0 }))).data).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      nan: null,
      zero: 0,
    });
  });
});

describe('structured mode', () => {
  it('is one JSON document without headers', () => {
    const encoded = encodeStructured(
      messageOf({ a: 1 }, { key: 'k', causationId: 'x', sequence: '01', extensions: { subject: 's' } }),
    );
    expect(encoded.contentType).toBe('application/cloudevents+json');
    expect(encoded.headers).toEqual({});
    expect(JSON.parse(Buffer.from(encoded.body).toString())).toEqual({
      specversion: '1.0',
      id: metadata.id,
      source: '/orders',
      type: 'order.placed',
      time: '2026-01-01T00:00:00.000Z',
      datacontenttype: 'application/json',
      dataschema: 'urn:waybill:order.placed:1',
      dataversion: 1,
      correlationid: 'c-1',
      causationid: 'x',
      partitionkey: 'k',
      sequence: '01',
      subject: 's',
      data: { a: 1 },
    });
  });

  it('carries bytes as data_base64, and never as data too', () => {
    const event = JSON.parse(
      Buffer.from(encodeStructured(messageOf(new Uint8Array([0, 255]))).body).toString(),
    ) as object;
    expect(event).toMatchObject({ data_base64: 'AP8=', datacontenttype: 'application/octet-stream' });
    expect(event).not.toHaveProperty('data');
  });
});

describe('binary mode', () => {
  it('is the bare data with attributes in headers', () => {
    const encoded = encodeBinary(messageOf({ a: 1 }, { key: 'k', extensions: { n: 1, flag: true } }));
    expect(encoded.contentType).toBe('application/json');
    expect(Buffer.from(encoded.body).toString()).toBe('{"a":1}');
    expect(encoded.headers).toEqual({
      'ce-specversion': '1.0',
      'ce-id': metadata.id,
      'ce-source': '/orders',
      'ce-type': 'order.placed',
      'ce-time': '2026-01-01T00:00:00.000Z',
      'ce-dataschema': 'urn:waybill:order.placed:1',
      'ce-dataversion': '1',
      'ce-correlationid': 'c-1',
      'ce-partitionkey': 'k',
      'ce-n': '1',
      'ce-flag': 'true',
    });
  });

  it('carries bytes as they are', () => {
    const bytes = new Uint8Array([0, 255, 128]);
    const encoded = encodeBinary(messageOf(bytes));
    expect(encoded.contentType).toBe('application/octet-stream');
    expect([...encoded.body]).toEqual([0, 255, 128]);
  });

  it('gives a handler bytes of its own: changing them leaves the delivery, which copies move, as it was', () => {
    const encoded = encodeBinary(messageOf(new Uint8Array([1, 2, 3])));
    (decode(encoded).data as Uint8Array).fill(0);
    expect([...encoded.body]).toEqual([1, 2, 3]);
  });
});
