import { WaybillError } from '../driver/errors.ts';
import type { Message, Metadata } from './envelope.ts';

/** The wire form of a message. */
export interface Encoded {
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly headers: Record<string, string>;
}

const STRUCTURED = 'application/cloudevents+json';
const JSON_TYPE = 'application/json';
const BYTES_TYPE = 'application/octet-stream';
const HALF_PAIR = /\p{Surrogate}/u;
const EMPTY = new Uint8Array(0);

/** CloudEvents 1.0, structured mode: one JSON document; bytes travel as `data_base64`. */
export function encodeStructured(message: Message): Encoded {
  const event = attributes(message);
  const { data } = message;
  if (data instanceof Uint8Array) event['data_base64'] = base64(data);
  else if (data !== undefined) event['data'] = jsonOf(data);
  return { contentType: STRUCTURED, body: Buffer.from(JSON.stringify(event)), headers: {} };
}

/** CloudEvents 1.0, binary mode: the body is the bare data, attributes are headers `ce-…`. */
export function encodeBinary(message: Message): Encoded {
  const { datacontenttype, ...rest } = attributes(message);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(rest)) headers[`ce-${name}`] = headerText(name, value);
  return { contentType: String(datacontenttype), body: bytesOf(message.data), headers };
}

/** Headers are UTF-8, which would put a replacement character in the place of half a pair. */
function headerText(name: string, value: unknown): string {
  const text = String(value);
  if (!HALF_PAIR.test(text)) return text;
  throw new WaybillError('INVALID_MESSAGE', `"${name}" has half of a surrogate pair, which no header can carry.`);
}

function attributes({ type, data, metadata }: Message): Record<string, unknown> {
  const event: Record<string, unknown> = {
    specversion: '1.0',
    id: metadata.id,
    source: metadata.source,
    type,
    time: metadata.time,
    datacontenttype: data instanceof Uint8Array ? BYTES_TYPE : JSON_TYPE,
    dataschema: `urn:waybill:${type}:${metadata.version}`,
    dataversion: metadata.version,
    correlationid: metadata.correlationId,
  };
  addOptional(event, metadata);
  return event;
}

function addOptional(event: Record<string, unknown>, metadata: Metadata): void {
  if (metadata.causationId !== undefined) event['causationid'] = metadata.causationId;
  if (metadata.key !== undefined) event['partitionkey'] = metadata.key;
  if (metadata.sequence !== undefined) event['sequence'] = metadata.sequence;
  if (metadata.traceparent !== undefined) event['traceparent'] = metadata.traceparent;
  if (metadata.tracestate !== undefined) event['tracestate'] = metadata.tracestate;
  if (metadata.extensions !== undefined) Object.assign(event, metadata.extensions);
}

function bytesOf(data: unknown): Uint8Array {
  // The application may use its buffer again before the message is sent.
  if (data instanceof Uint8Array) return new Uint8Array(data);
  return data === undefined ? EMPTY : Buffer.from(JSON.stringify(jsonOf(data)));
}

/** JSON leaves these out without a word. */
function jsonOf(data: unknown): unknown {
  if (typeof data === 'function' || typeof data === 'symbol')
    throw new TypeError(`JSON has no form for a ${typeof data}`);
  return data;
}

function base64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
}
