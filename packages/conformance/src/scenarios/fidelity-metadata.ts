import type { Bus, Metadata, PublishOptions } from '@waybill/core';
import { Moved, Noted } from '../contracts.ts';
import { Anything, Later, LEFT } from './fidelity-values.ts';
import type { Envelope } from './fidelity-wire.ts';

/** Every printable ASCII character but the space: 94. */
const PRINTABLE = Array.from({ length: 94 }, (_, index) => String.fromCharCode(index + 0x21)).join('');

/** Id of what has half a surrogate pair: it is refused where it must be a header, which is UTF-8. */
export const HALF_PAIR = 'half';

/** What publish takes beside the data. With a key the message has one; the id gets a character in front. */
export const METADATA: readonly (PublishOptions & { readonly id: string; readonly key?: string })[] = [
  { id: '' },
  { id: PRINTABLE },
  { id: 'x'.repeat(95) },
  { id: 'plain:0/a%20b', correlationId: 'Zażółć 漢字 😀', causationId: 'é e\u0301 "\\\'`' },
  { id: HALF_PAIR, correlationId: 'a\ud800b' },
  { id: 'long', correlationId: '漢'.repeat(1_000), sequence: '00000000000000000042' },
  {
    id: 'trace',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    tracestate: 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7',
  },
  {
    id: 'extensions',
    extensions: {
      subject: 'größte 😀',
      tenant: 'acme',
      n: 42,
      share: 0.1,
      most: Number.MAX_SAFE_INTEGER,
      yes: true,
      no: false,
      ['x'.repeat(40)]: '{"a":1}',
      dataref: 'https://example.com/?a=b&c=%20',
    },
  },
  { id: 'key', key: 'a' },
  { id: 'key-unicode', key: 'klucz/Zażółć 漢字 😀 "#"' },
  { id: 'key-longest', key: '漢'.repeat(128) },
];

/** Metadata to compare, without its time. In binary mode all of it travels as text. */
export function comparable(metadata: Omit<Metadata, 'time'> & { readonly time?: string }, envelope: Envelope): unknown {
  const { time: _, extensions = {}, ...others } = metadata;
  const carried = (value: unknown): unknown => (envelope === 'binary' ? String(value) : value);
  const sorted = (record: object): unknown =>
    Object.entries(record)
      .map(([name, value]) => [name, carried(value)] as const)
      .toSorted(([left], [right]) => (left < right ? -1 : 1));
  return [sorted(others), sorted(extensions)];
}

function circular(): unknown {
  const circle: { self?: unknown } = {};
  circle.self = circle;
  return circle;
}

type Refused = readonly ['INVALID_MESSAGE' | 'INVALID_ARGUMENT', string, (bus: Bus) => Promise<void>];

const unfit = (data: unknown): Refused => [
  'INVALID_MESSAGE',
  `a note of ${JSON.stringify(data)}`,
  (bus) => bus.publish(Noted, data as { n: number }),
];
const noJson = (what: string, data: unknown): Refused => [
  'INVALID_MESSAGE',
  `data that is ${what}`,
  (bus) => bus.publish(Anything, data),
];
const badKey = (entity: string): Refused => [
  'INVALID_MESSAGE',
  `a key of ${entity.length} characters`,
  (bus) => bus.publish(Moved, { entity, sequence: 1 }),
];
const badId = (id: string): Refused => [
  'INVALID_ARGUMENT',
  `the id ${JSON.stringify(id)}`,
  (bus) => bus.publish(Noted, { n: 1 }, { id }),
];
const badExtension = (name: string, value: unknown): Refused => [
  'INVALID_ARGUMENT',
  `the extension ${JSON.stringify(name)} of ${String(value)}`,
  (bus) => bus.publish(Noted, { n: 1 }, { extensions: { [name]: value as string } }),
];
const badDelay = (delayMs: number): Refused => [
  'INVALID_ARGUMENT',
  `a delay of ${delayMs}`,
  (bus) => bus.send(LEFT, Later, 1, { delayMs }),
];

/** The code, what it is, and a publish of it. */
export const REFUSED: readonly Refused[] = [
  ...[undefined, null, 'text', {}, { n: '1' }, { n: Number.NaN }, { n: 1, text: 2 }].map(unfit),
  noJson('a bigint', 1n),
  noJson('a circle', circular()),
  noJson('a function', () => 1),
  noJson('a symbol', Symbol('s')),
  noJson('an object whose toJSON throws', {
    toJSON: () => {
      throw new Error('no');
    },
  }),
  badKey(''),
  badKey('k'.repeat(129)),
  ...['', ' ', 'a b', 'ä', 'a\n', 'a\0', 'x'.repeat(97), 'a#a2', 'a#d'].map(badId),
  ...['id', 'data', 'data_base64', 'traceparent', 'Tenant', 'a-b', '', 'x'.repeat(41)].map((name) =>
    badExtension(name, 'x'),
  ),
  ...[null, undefined, Number.NaN, {}].map((value) => badExtension('tenant', value)),
  ...[-1, Number.NaN, Number.POSITIVE_INFINITY].map(badDelay),
];
