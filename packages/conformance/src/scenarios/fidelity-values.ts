import { defineCommand, defineEvent, defineQueue } from '@waybill/core';
import { z } from 'zod';
import { Filed, Moved, Noted } from '../contracts.ts';

/** Takes any data. */
export const Anything = defineEvent('conformance.anything', z.unknown(), { topic: 'anything' });
/** Takes any data, and can be delayed. */
export const Later = defineCommand('conformance.later', z.unknown());

/** Two queues that get the same messages: each is read with another envelope. */
export const LEFT = defineQueue('left', { handles: [Anything, Filed, Moved, Noted, Later] });
export const RIGHT = defineQueue('right', { handles: [Anything, Filed, Moved, Noted] });

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).join('');

const TEXTS = [
  '',
  ' ',
  ASCII,
  '\u0080\u0085\u009f\u00a0\u00ad\ufeff\u200b\u202e\u2028\u2029\ufffd\ufffe\uffff',
  'Zażółć gęślą jaźń, ß ẞ İ ı, 漢字, かな, עברית, العربية, ไทย',
  // One letter in one code point and in two: equal to the eye only.
  '\u00e9 e\u0301 \u212b \u00c5 A\u030a',
  '😀 👩‍👩‍👧‍👦 🏳️‍🌈 \u{10000} \u{10ffff}',
  // Halves of surrogate pairs, which JSON escapes.
  '\ud800',
  'a\udfffb',
  '\udc00\ud800',
  '"\\/\b\f\n\r\t`<!--</script>\\u0000',
  '{"specversion":"1.0","id":"inner","data":null}',
  '2026-01-01T00:00:00.000Z',
  'x'.repeat(70_000),
];
const NUMBERS = [
  0,
  -1,
  0.1,
  1 / 3,
  1e21,
  -1e-7,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  Number.MAX_VALUE,
  Number.MIN_VALUE,
  Number.EPSILON,
];
const NAMES: unknown = JSON.parse(
  '{"__proto__":{"a":1},"constructor":1,"toString":2,"":3,"data":4,"😀\\u0000":5,"1":6}',
);

/** What JSON can carry, at its edges. Each is a message of its own. */
export const VALUES: readonly unknown[] = [
  undefined,
  null,
  true,
  false,
  ...NUMBERS,
  ...TEXTS,
  [],
  {},
  [[], {}, [null]],
  NAMES,
  Object.fromEntries(TEXTS.map((text, index) => [text, index])),
  nested(500),
  { at: new Date(7), gone: undefined, list: [undefined, Number.NaN], zero: -0 },
];

function nested(depth: number): unknown {
  let value: unknown = 'innermost';
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { value };
  return value;
}

/** Bytes that depend on the seed, all values among them from 256 on. */
export function someBytes(count: number, seed = 0): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: count }, (_, index) => (index * 167 + seed * 31 + (index >> 8)) & 255);
}

const EVERY = Uint8Array.from({ length: 256 }, (_, index) => index);

/** Each is a message of its own. */
export const BYTES: readonly Uint8Array<ArrayBuffer>[] = [
  new Uint8Array(0),
  EVERY,
  EVERY.toReversed(),
  Uint8Array.of(0),
  Uint8Array.of(0xff, 0xfe),
  // No UTF-8, nor UTF-8 with a mark in front.
  Uint8Array.of(0xed, 0xa0, 0x80, 0xc0, 0x80),
  Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d),
  Buffer.from('\r\n\r\n{"n":1}\0'),
  // Parts of larger buffers.
  someBytes(1_000).subarray(300, 301),
  Buffer.from('a part of a pool').subarray(2, 6),
  new Uint8Array(EVERY.buffer, 100, 50),
  ...[1, 2, 3, 1_023, 65_537, 150_000].map((count) => someBytes(count, count)),
];
