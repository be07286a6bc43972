import { isUtf8 } from 'node:buffer';
import { WaybillError } from '../driver/errors.ts';
import type { Headers } from '../driver/driver.ts';
import type { Message, Metadata } from './envelope.ts';

/** What {@link decode} reads: a delivery, or anything with the same three members. */
export interface Encoded {
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly headers: Headers;
}

type Attributes = Record<string, unknown>;

/** All spellings that the CloudEvents bindings allow for attributes in headers. */
const PREFIX = /^(?:ce[-_]|cloudevents[_:])(.+)$/;
const STRUCTURED = /^application\/cloudevents(?:\+json)?\s*(?:;|$)/i;
const JSON_TYPE = /^(?:application|text)\/(?:[^;]*\+)?json\s*(?:;|$)/i;
/** Others are no attributes of CloudEvents. */
const ATTRIBUTE = /^[a-z0-9]+$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const TEXT_TYPE = /^text\//i;
/** Attributes that `metadata` has a member for. */
export const RESERVED_ATTRIBUTES: ReadonlySet<string> = new Set([
  'specversion',
  'id',
  'source',
  'type',
  'time',
  'datacontenttype',
  'dataschema',
  'dataversion',
  'correlationid',
  'causationid',
  'partitionkey',
  'sequence',
  'traceparent',
  'tracestate',
  'data',
  'data_base64',
]);

/** Reads a CloudEvent of either mode, whoever wrote it. Data is not validated. Throws INVALID_MESSAGE when it is none. */
export function decode(encoded: Encoded): Message {
  return STRUCTURED.test(encoded.contentType) ? decodeStructured(encoded.body) : decodeBinary(encoded);
}

function decodeStructured(body: Uint8Array): Message {
  const event = parse(body);
  if (typeof event !== 'object' || event === null || Array.isArray(event)) throw invalid('its JSON is not an object');
  const attributes = event as Attributes;
  const metadata = metadataOf(attributes);
  return messageOf(attributes, structuredData(attributes), metadata);
}

function structuredData(event: Attributes): unknown {
  const base64 = event['data_base64'];
  if (base64 === undefined) return event['data'];
  if (typeof base64 !== 'string') throw invalid('its data_base64 is not a string');
  if (base64.length % 4 !== 0 || !BASE64.test(base64)) throw invalid('its data_base64 is not base64');
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

function decodeBinary({ contentType, body, headers }: Encoded): Message {
  const attributes: Attributes = {};
  for (const name in headers) {
    const attribute = PREFIX.exec(name.toLowerCase())?.[1];
    if (attribute !== undefined) attributes[attribute] = headers[name];
  }
  const metadata = metadataOf(attributes);
  return messageOf(attributes, binaryData(contentType, body), metadata);
}

function messageOf(event: Attributes, data: unknown, metadata: Metadata): Message {
  const type = event['type'] as string;
  return event['dataversion'] === undefined ? { type, data, metadata, foreign: true } : { type, data, metadata };
}

function binaryData(contentType: string, body: Uint8Array): unknown {
  if (contentType === '' || JSON_TYPE.test(contentType)) return body.length === 0 ? undefined : parse(body);
  if (TEXT_TYPE.test(contentType)) return text(body);
  // A handler may change its data, and copies move the delivery's bytes.
  return new Uint8Array(body);
}

function metadataOf(event: Attributes): Metadata {
  const specversion = event['specversion'];
  if (specversion === undefined) throw invalid('it has no CloudEvents attributes');
  if (specversion !== '1.0') throw invalid(`its specversion is ${short(specversion)}, not "1.0"`);
  const id = required(event, 'id');
  required(event, 'type');
  const metadata: { -readonly [Name in keyof Metadata]: Metadata[Name] } = {
    id,
    source: required(event, 'source'),
    time: optional(event, 'time') ?? '',
    version: versionOf(event),
    correlationId: optional(event, 'correlationid') ?? id,
  };
  const causationId = optional(event, 'causationid');
  if (causationId !== undefined) metadata.causationId = causationId;
  const key = optional(event, 'partitionkey');
  if (key !== undefined) metadata.key = key;
  const sequence = optional(event, 'sequence');
  if (sequence !== undefined) metadata.sequence = sequence;
  const traceparent = optional(event, 'traceparent');
  if (traceparent !== undefined) metadata.traceparent = traceparent;
  const tracestate = optional(event, 'tracestate');
  if (tracestate !== undefined) metadata.tracestate = tracestate;
  const extensions = extensionsOf(event);
  if (extensions !== undefined) metadata.extensions = extensions;
  return metadata;
}

function extensionsOf(event: Attributes): Metadata['extensions'] {
  let extensions: [string, string | number | boolean][] | undefined;
  for (const name in event) {
    // Looked up first: nearly every name is one of these.
    if (RESERVED_ATTRIBUTES.has(name) || !ATTRIBUTE.test(name)) continue;
    optional(event, name);
    (extensions ??= []).push([name, event[name] as string | number | boolean]);
  }
  return extensions === undefined ? undefined : Object.fromEntries(extensions);
}

/** `dataversion` as we write it, else the number at the end of a `dataschema` path or URN, else 1. */
function versionOf(event: Attributes): number {
  const given = event['dataversion'] ?? versionOfSchema(optional(event, 'dataschema'));
  const version = typeof given === 'object' ? Number.NaN : Number(given);
  if (Number.isInteger(version) && version >= 1) return version;
  throw invalid(`its dataversion is ${short(event['dataversion'])}, not a number from 1`);
}

function versionOfSchema(schema = ''): unknown {
  const last = /^urn:.*:(\d+)$|[^/:]\/(\d+)$/.exec(schema);
  return last?.[1] ?? last?.[2] ?? 1;
}

function short(value: unknown): string {
  try {
    return (JSON.stringify(value) ?? typeof value).slice(0, 60);
  } catch {
    return `a ${typeof value}`;
  }
}

function required(event: Attributes, name: string): string {
  const value = event[name];
  if (typeof value === 'string' && value !== '') return value;
  throw invalid(`its attribute "${name}" is missing or no text`);
}

function optional(event: Attributes, name: string): string | undefined {
  const value = event[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw invalid(`its attribute "${name}" is neither text nor a number`);
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(text(body));
  } catch (cause) {
    if (WaybillError.is(cause)) throw cause;
    throw new WaybillError('INVALID_MESSAGE', `The message cannot be decoded: ${(cause as Error).message}`, { cause });
  }
}

function text(body: Uint8Array): string {
  if (!isUtf8(body)) throw invalid('its text is not UTF-8');
  const buffer = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return buffer.toString();
}

function invalid(problem: string): WaybillError {
  return new WaybillError('INVALID_MESSAGE', `The message cannot be decoded: ${problem}.`);
}
