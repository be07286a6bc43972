import { cloudEvent } from './dead-letter-helpers.ts';

interface Broken {
  readonly body: Uint8Array;
  readonly contentType?: string;
}

const text = (body: string): Broken => ({ body: Buffer.from(body) });

/** Nothing that Waybill, or CloudEvents, could have written. Each has other bytes. */
export const UNDECODABLE: readonly Broken[] = [
  text(' '),
  text('not json'),
  text('[]'),
  text('null'),
  text('{}'),
  text('{"specversion":"1.0"}'),
  text('['.repeat(20_000)),
  { body: Uint8Array.of(0xff, 0xfe, 0x00) },
  { body: cloudEvent({ id: 'x', specversion: '0.3', data: { n: 1 } }) },
  { body: cloudEvent({ id: '', data: { n: 1 } }) },
  { body: cloudEvent({ id: 7, data: { n: 1 } }) },
  { body: cloudEvent({ id: 'x', type: ['conformance.noted'], data: { n: 1 } }) },
  { body: cloudEvent({ id: 'x', dataversion: 'latest', data: { n: 1 } }) },
  { body: cloudEvent({ id: 'x', data_base64: 5 }) },
  { body: Buffer.from('{"n":1}'), contentType: 'application/json' },
  { body: Buffer.from('<n>1</n>'), contentType: 'text/xml' },
];

/** Data that no note has. */
export const UNFIT: readonly unknown[] = [undefined, null, 'text', [], {}, { n: '1' }, { n: 1, text: 2 }];
