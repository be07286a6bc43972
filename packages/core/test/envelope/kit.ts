import fc from 'fast-check';
import { decode, type Message, type Metadata, WaybillError } from '../../src/index.ts';
import { RESERVED_ATTRIBUTES } from '../../src/envelope/decode.ts';

/** Any UTF-16, halves of surrogate pairs included. */
export const anyText: fc.Arbitrary<string> = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd800, max: 0xdfff })), { maxLength: 20 })
  .map((codes) => String.fromCharCode(...codes));
const someText = anyText.filter((text) => text !== '');
const printable = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 96,
});

export const anyBytes: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 300 });

/** Values that JSON carries: what `JSON.parse` can return, but for -0, which JSON.stringify writes as 0. */
export const anyJson: fc.Arbitrary<unknown> = fc
  .oneof(
    fc.jsonValue(),
    fc.dictionary(anyText, anyText, { maxKeys: 3 }),
    anyText,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.array(fc.oneof(anyText, fc.jsonValue()), { maxLength: 3 }),
  )
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown);

const extensionName = fc
  .string({ unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789'.split('')), minLength: 1, maxLength: 20 })
  .filter((name) => !RESERVED_ATTRIBUTES.has(name));

export const anyMetadata: fc.Arbitrary<Metadata> = fc
  .record(
    {
      id: printable,
      source: someText,
      time: fc
        .date({ min: new Date(0), max: new Date(8.64e15), noInvalidDate: true })
        .map((date) => date.toISOString()),
      version: fc.integer({ min: 1, max: 1_000 }),
      correlationId: someText,
      causationId: someText,
      key: someText,
      sequence: someText,
      traceparent: someText,
      tracestate: someText,
      extensions: fc
        .dictionary(extensionName, fc.oneof(anyText, fc.integer(), fc.boolean()), { minKeys: 1, maxKeys: 3 })
        .map((extensions) => ({ ...extensions })),
    },
    { requiredKeys: ['id', 'source', 'time', 'version', 'correlationId'] },
  )
  .map((metadata) => metadata as Metadata);

export const metadata: Metadata = {
  id: '019f0000-0000-7000-8000-000000000000',
  source: '/orders',
  time: '2026-01-01T00:00:00.000Z',
  version: 1,
  correlationId: 'c-1',
};

export function messageOf(data: unknown, more: Partial<Metadata> = {}): Message {
  return { type: 'order.placed', data, metadata: { ...metadata, ...more } };
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A structured event as somebody else may write it. */
export function structured(event: unknown, contentType = 'application/cloudevents+json'): Message {
  return decode({ contentType, body: utf8(typeof event === 'string' ? event : JSON.stringify(event)), headers: {} });
}

/** The error of a decode that fails, which is a WaybillError with code INVALID_MESSAGE or the test fails. */
export function undecodable(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (WaybillError.is(error) && error.code === 'INVALID_MESSAGE') return error.message;
    throw error;
  }
  throw new Error('it was decoded');
}
