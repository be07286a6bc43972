// `cloudevents` is the reference: what we write it reads and finds valid, what it writes we read.
import { CloudEvent, HTTP, Kafka, type Message as WireMessage } from 'cloudevents';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, type Metadata } from '../../src/index.ts';
import { type Encoded, encodeBinary, encodeStructured } from '../../src/envelope/encode.ts';
import { anyJson, messageOf, metadata } from './kit.ts';

const full: Partial<Metadata> = {
  causationId: 'b',
  key: 'customer-7',
  sequence: '0007',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  tracestate: 'a=b',
  extensions: { tenant: 'acme', retries: 3, urgent: true, subject: 'order/7' },
};
const attributes = {
  specversion: '1.0',
  id: metadata.id,
  source: '/orders',
  type: 'order.placed',
  time: '2026-01-01T00:00:00.000Z',
  dataschema: 'urn:waybill:order.placed:1',
  correlationid: 'c-1',
  causationid: 'b',
  partitionkey: 'customer-7',
  sequence: '0007',
  traceparent: full.traceparent,
  tracestate: 'a=b',
  tenant: 'acme',
  subject: 'order/7',
};

function http({ contentType, body, headers }: Encoded, asText = true): WireMessage {
  const bytes = Buffer.from(body);
  return { headers: { 'content-type': contentType, ...headers }, body: asText ? bytes.toString() : bytes };
}

function read(message: WireMessage): CloudEvent<unknown> {
  return HTTP.toEvent<unknown>(message) as CloudEvent<unknown>;
}

/** As an adapter hands over what `cloudevents` wrote. */
function handed(message: WireMessage): Encoded {
  const headers: Record<string, string> = {};
  let contentType = '';
  for (const [name, value] of Object.entries(message.headers)) {
    if (name.toLowerCase() === 'content-type') contentType = String(value);
    else if (value !== undefined) headers[name.toLowerCase()] = String(value);
  }
  const { body } = message;
  return {
    contentType,
    headers,
    body: body instanceof Uint8Array ? body : Buffer.from(typeof body === 'string' ? body : ''),
  };
}

/** What it takes for no data. */
function isNothing(data: unknown): boolean {
  return [null, false, 0, ''].includes(data as null);
}

const theirs = (data: unknown, more: object = {}): CloudEvent<unknown> =>
  new CloudEvent<unknown>({
    id: 'a',
    source: '/elsewhere',
    type: 'order.placed',
    time: '2026-01-01T00:00:00.000Z',
    data,
    ...more,
  });

describe('what we write', () => {
  it('is a valid structured event with all its attributes', () => {
    const event = read(http(encodeStructured(messageOf({ total: 1.5, note: 'ä😀' }, full))));
    expect(event.validate()).toBe(true);
    expect(event).toMatchObject({
      ...attributes,
      datacontenttype: 'application/json',
      dataversion: 1,
      retries: 3,
      urgent: true,
      data: { total: 1.5, note: 'ä😀' },
    });
  });

  it('is a valid binary event with all its attributes', () => {
    const event = read(http(encodeBinary(messageOf({ total: 1.5, note: 'ä😀' }, full))));
    expect(event.validate()).toBe(true);
    expect(event).toMatchObject({
      ...attributes,
      datacontenttype: 'application/json',
      dataversion: '1',
      retries: '3',
      urgent: 'true',
      data: { total: 1.5, note: 'ä😀' },
    });
  });

  it('is a valid event where only what must be there is there', () => {
    for (const encode of [encodeStructured, encodeBinary]) {
      const event = read(http(encode(messageOf({ a: 1 }))));
      expect(event.validate()).toBe(true);
      expect(event.data).toEqual({ a: 1 });
    }
  });

  it('is valid whatever the data and the text attributes', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 });
    fc.assert(
      fc.property(anyJson, text, text, (data, key, correlationId) => {
        const event = read(http(encodeStructured(messageOf(data, { key, correlationId }))));
        expect(event.validate()).toBe(true);
        expect(event).toMatchObject({ partitionkey: key, correlationid: correlationId });
        expect(event.data).toEqual(isNothing(data) ? undefined : data);
      }),
    );
  });

  it('carries bytes in structured mode as it reads them', () => {
    const event = JSON.parse(
      Buffer.from(encodeStructured(messageOf(new Uint8Array([0, 127, 255]))).body).toString(),
    ) as object;
    const parsed = new CloudEvent<unknown>(event);
    expect(parsed.validate()).toBe(true);
    expect(parsed.data_base64).toBe('AH//');
    expect([...(read(http(encodeStructured(messageOf(new Uint8Array([0, 127, 255]))))).data as Uint8Array)]).toEqual([
      0, 127, 255,
    ]);
  });

  it('carries bytes in binary mode as it reads them', () => {
    const event = read(http(encodeBinary(messageOf(new Uint8Array([0, 127, 255]))), false));
    expect(event.datacontenttype).toBe('application/octet-stream');
    expect([...(event.data as Uint8Array)]).toEqual([0, 127, 255]);
  });

  it('names its attributes within the rules, 20 characters at most', () => {
    const event = JSON.parse(Buffer.from(encodeStructured(messageOf(1, full)).body).toString()) as object;
    for (const name of Object.keys(event)) expect(name).toMatch(/^[a-z0-9]{1,20}$/);
  });
});

describe('what the reference writes', () => {
  it('is read in structured mode', () => {
    const event = theirs(
      { total: 2, note: 'ä😀' },
      { correlationid: 'c', partitionkey: 'k', tenant: 'acme', count: 3, dataschema: 'https://a.example/order/4' },
    );
    expect(decode(handed(HTTP.structured(event)))).toEqual({
      type: 'order.placed',
      data: { total: 2, note: 'ä😀' },
      metadata: {
        id: 'a',
        source: '/elsewhere',
        time: '2026-01-01T00:00:00.000Z',
        version: 4,
        correlationId: 'c',
        key: 'k',
        extensions: { tenant: 'acme', count: 3 },
      },
      foreign: true,
    });
  });

  it('is read in binary mode', () => {
    const event = theirs({ total: 2 }, { correlationid: 'c', tenant: 'acme', dataversion: 2 });
    expect(decode(handed(HTTP.binary(event)))).toEqual({
      type: 'order.placed',
      data: { total: 2 },
      metadata: {
        id: 'a',
        source: '/elsewhere',
        time: '2026-01-01T00:00:00.000Z',
        version: 2,
        correlationId: 'c',
        extensions: { tenant: 'acme' },
      },
    });
  });

  it('is read from Kafka headers in both modes', () => {
    const event = theirs({ total: 2 }, { partitionkey: 'k', correlationid: 'c', datacontenttype: 'application/json' });
    const binary = Kafka.binary(event);
    expect(Object.keys(binary.headers)).toContain('ce_id');
    const body = Buffer.from(JSON.stringify(binary.value));
    for (const encoded of [{ ...handed(binary), body }, handed(Kafka.structured(event))]) {
      expect(decode(encoded)).toMatchObject({
        type: 'order.placed',
        data: { total: 2 },
        metadata: { id: 'a', source: '/elsewhere', key: 'k', correlationId: 'c' },
      });
    }
  });

  it('is read where it carries bytes', () => {
    const bytes = new Uint8Array([0, 127, 255]);
    const event = theirs(bytes, { datacontenttype: 'application/octet-stream' });
    expect([...(decode(handed(HTTP.structured(event))).data as Uint8Array)]).toEqual([...bytes]);
    expect([...(decode(handed(HTTP.binary(event))).data as Uint8Array)]).toEqual([...bytes]);
  });

  it('is read where it carries text or nothing', () => {
    const text = theirs('ä😀', { datacontenttype: 'text/plain' });
    expect(decode(handed(HTTP.structured(text))).data).toBe('ä😀');
    expect(decode(handed(HTTP.binary(text))).data).toBe('ä😀');
    expect(decode(handed(HTTP.structured(theirs(undefined)))).data).toBeUndefined();
    expect(decode(handed(HTTP.binary(theirs(undefined)))).data).toBeUndefined();
  });

  it('is read whatever the data', () => {
    fc.assert(
      fc.property(anyJson, (data) => {
        expect(decode(handed(HTTP.structured(theirs(data)))).data).toEqual(data);
        // In binary mode it writes text and numbers without quoting them as JSON.
        if (typeof data !== 'object' || data === null) return;
        expect(decode(handed(HTTP.binary(theirs(data)))).data).toEqual(data);
      }),
    );
  });
});

describe('a round through both', () => {
  it('changes nothing: we write, it reads and writes, we read', () => {
    const message = messageOf({ total: 1, lines: [{ sku: 'ä' }] }, full);
    const again = decode(handed(HTTP.structured(read(http(encodeStructured(message))))));
    expect(again).toEqual(message);
    const binary = decode(handed(HTTP.binary(read(http(encodeBinary(message))))));
    expect(binary).toEqual({
      ...message,
      metadata: {
        ...message.metadata,
        extensions: { tenant: 'acme', retries: '3', urgent: 'true', subject: 'order/7' },
      },
    });
  });
});
