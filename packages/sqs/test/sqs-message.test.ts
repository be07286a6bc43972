import type { Message } from '@aws-sdk/client-sqs';
import type { OutgoingMessage } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { SqsDelivery } from '../src/from-sqs-message.ts';
import { type Place, reDelayedEntry, type SqsEntry, toSqsEntry } from '../src/to-sqs-message.ts';

const NOW = 1_700_000_000_000;
const QUEUE: Place = { isFifo: false, isDelay: false, isTopic: false };
const TOPIC: Place = { ...QUEUE, isTopic: true };
const FIFO: Place = { ...QUEUE, isFifo: true };
const FIFO_TOPIC: Place = { ...FIFO, isTopic: true };
const DELAY: Place = { ...QUEUE, isDelay: true };

function message(more: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    target: { queue: 'billing', lane: 'work' },
    id: 'm1',
    type: 'order.placed',
    contentType: 'application/json',
    body: Buffer.from('{}'),
    headers: {},
    ...more,
  };
}

/** As SQS hands out what was sent. */
function received(entry: SqsEntry, more: Message['Attributes'] = {}): SqsDelivery {
  const Attributes: Message['Attributes'] = { ApproximateReceiveCount: '1', ...more };
  if (entry.group !== undefined) Attributes.MessageGroupId = entry.group;
  if (entry.deduplicationId !== undefined) Attributes.MessageDeduplicationId = entry.deduplicationId;
  const native: Message = {
    MessageId: 'a-b',
    ReceiptHandle: 'handle',
    Body: entry.body,
    MessageAttributes: entry.attributes,
    Attributes,
  };
  return new SqsDelivery(native, { url: 'http://sqs/1/billing', lane: 'work', leaseUntil: NOW });
}

function roundTrip(more: Partial<OutgoingMessage>, place = QUEUE): SqsDelivery {
  return received(toSqsEntry(message(more), place, NOW));
}

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

describe('a body', () => {
  test.each([
    ['JSON', Buffer.from('{"a":"ü€😀"}'), undefined],
    ['white space', Buffer.from(' \t\r\n '), undefined],
    ['a byte order mark', Buffer.from('\uFEFFx'), undefined],
    ['the letters of a base64 text', Buffer.from('AAAA'), undefined],
    ['a dash', Buffer.from('-'), undefined],
    ['all bytes', every, 'base64'],
    ['a zero', Buffer.from([0]), 'base64'],
    ['U+FFFE', Buffer.from('a\uFFFE'), 'base64'],
    ['U+FFFF', Buffer.from('\uFFFFa'), 'base64'],
    ['an escape', Buffer.from('\u001B[0m'), 'base64'],
    ['half a character', Buffer.from('ü').subarray(0, 1), 'base64'],
    ['a surrogate in UTF-8', Buffer.from([0xed, 0xa0, 0x80]), 'base64'],
    ['nothing', Buffer.alloc(0), 'empty'],
  ])('of %s comes back byte for byte', (_, body, encoding) => {
    const entry = toSqsEntry(message({ body }), QUEUE, NOW);
    expect(entry.attributes['encoding']?.StringValue).toBe(encoding);
    expect(entry.body).not.toBe('');
    expect(Buffer.from(received(entry).body)).toEqual(body);
  });

  test('that is a part of a larger buffer is only that part', () => {
    const part = new Uint8Array(Buffer.from('xxabcxx').buffer.slice(0)).subarray(0, 3);
    expect(Buffer.from(roundTrip({ body: part }).body)).toEqual(Buffer.from(part));
  });
});

describe('headers', () => {
  test('are attributes of their names while there is room', () => {
    const headers = { traceparent: '00-1-2-01', 'ce-id': 'ü' };
    const entry = toSqsEntry(message({ headers }), QUEUE, NOW);
    expect(Object.keys(entry.attributes).toSorted()).toEqual(['ce-id', 'content-type', 'traceparent', 'type']);
    expect(received(entry).headers).toEqual(headers);
  });

  test.each([0, 1, 7, 8, 9, 10, 30])(
    'need no more than 10 attributes with all that Waybill adds when there are %i',
    (count) => {
      const headers = Object.fromEntries(Array.from({ length: count }, (_, index) => [`h${index}`, `v=${index}&%;`]));
      for (const place of [QUEUE, TOPIC, FIFO, FIFO_TOPIC, DELAY]) {
        const entry = toSqsEntry(message({ headers, key: 'ü', body: every, notBefore: NOW + 1 }), place, NOW);
        expect(Object.keys(entry.attributes).length).toBeLessThanOrEqual(10);
        expect(received(entry).headers).toEqual(headers);
      }
    },
  );

  test.each([
    ['an empty value', { a: '' }],
    ['illegal characters', { a: '\u0000\uFFFF\u001B\n' }],
    ['half a surrogate pair', { a: '\uD800x', b: 'x\uDC00', c: '😀' }],
    ['signs of the packing', { 'a=b&c%d': '%0041&=%', b: '' }],
    [
      'names that Waybill uses',
      { type: 't', encoding: 'base64', key: 'k', due: '1', headers: 'h=1', 'content-type': 'x' },
    ],
    [
      'names that SQS refuses',
      { 'aws.a': '1', 'amazon.b': '2', '.c': '3', 'd.': '4', 'e..f': '5', ü: '6', 'g h': '7' },
    ],
    ['a name that is too long', { ['x'.repeat(257)]: '1' }],
  ])('with %s come back as they went', (_, headers) => {
    const entry = toSqsEntry(message({ headers }), QUEUE, NOW);
    for (const [name, { StringValue }] of Object.entries(entry.attributes)) {
      expect(name).toMatch(/^(?!aws\.|amazon\.)[\w-]+(\.[\w-]+)*$/);
      expect(StringValue).not.toBe('');
    }
    expect(received(entry).headers).toEqual(headers);
    expect(received(entry).contentType).toBe('application/json');
  });

  test.each(['', '\u0000', 'text/plain; charset=utf-8'])('do not hide a content type of %j', (contentType) => {
    expect(roundTrip({ contentType }).contentType).toBe(contentType);
  });
});

describe('a key', () => {
  test.each([QUEUE, TOPIC, FIFO, FIFO_TOPIC, DELAY])('comes back from %j', (place) => {
    for (const key of ['customer-1', 'm1', 'with space', 'ü'.repeat(200), 'x'.repeat(129), 'a\u0000b', '']) {
      expect(roundTrip({ key }, place).key).toBe(key);
    }
    expect(roundTrip({}, place).key).toBeUndefined();
  });

  test('is the group where that takes it, and needs no attribute', () => {
    const entry = toSqsEntry(message({ key: 'customer-1', id: 'm1#a2' }), FIFO, NOW);
    expect(entry).toMatchObject({ group: 'customer-1', deduplicationId: 'm1#a2' });
    expect(entry.attributes['key']).toBeUndefined();
  });

  test('is told on a topic, whose queues may not be FIFO', () => {
    expect(toSqsEntry(message({ key: 'a' }), FIFO_TOPIC, NOW).attributes['key']?.StringValue).toBe('a');
  });

  test('that no group can have has a group of its own', () => {
    const [first, second] = ['a b', 'a c'].map((key) => toSqsEntry(message({ key }), FIFO, NOW).group);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(first).not.toBe(second);
  });
});

describe('a delay', () => {
  test.each([
    [1, 1],
    [1_000, 1],
    [1_001, 2],
    [900_000, 900],
    [3_600_000, 900],
  ])('of %i ms is one of %i s', (ms, seconds) => {
    expect(toSqsEntry(message({ notBefore: NOW + ms }), DELAY, NOW)).toMatchObject({ delaySeconds: seconds });
  });

  test.each([undefined, NOW, NOW - 5_000])('until %j is none', (notBefore) => {
    const more = notBefore === undefined ? {} : { notBefore };
    expect(toSqsEntry(message(more), QUEUE, NOW).delaySeconds).toBeUndefined();
  });

  test('says on a delay queue when it is over', () => {
    expect(roundTrip({ notBefore: NOW + 5 }, DELAY).due).toBe(NOW + 5);
    expect(roundTrip({ notBefore: NOW + 5 }, QUEUE).due).toBeUndefined();
  });

  test('that is not over is continued with the same message', () => {
    const entry = toSqsEntry(message({ notBefore: NOW + 1_000_500, key: 'k', headers: { a: '' } }), DELAY, NOW);
    const { raw } = received(entry);
    expect(reDelayedEntry(raw, NOW + 900_000)).toEqual({
      Id: 'a-b',
      MessageBody: '{}',
      MessageAttributes: entry.attributes,
      DelaySeconds: 101,
    });
  });
});

test('the size is what SQS counts: body, and names, types and values of attributes', () => {
  const { bytes } = toSqsEntry(message({ body: Buffer.from('ü'), headers: { é: '', tenant: 'ö' } }), QUEUE, NOW);
  const attributes = [
    'typeStringorder.placed',
    'content-typeStringapplication/json',
    'tenantString..',
    'headersString..=',
  ].join('');
  expect(bytes).toBe(2 + attributes.length);
});

describe('what others sent', () => {
  const native: Message = {
    MessageId: 'id-1',
    ReceiptHandle: 'h',
    Body: 'text',
    Attributes: { ApproximateReceiveCount: '3' },
    MessageAttributes: {
      Tenant: { DataType: 'String', StringValue: 'a' },
      Count: { DataType: 'Number', StringValue: '7' },
      Blob: { DataType: 'Binary', BinaryValue: Buffer.from('x') },
      encoding: { DataType: 'String', StringValue: 'gzip' },
    },
  };

  test('has its attributes as headers', () => {
    const delivery = new SqsDelivery(native, { url: 'u', lane: 'work', leaseUntil: 5 });
    expect(delivery).toMatchObject({
      contentType: 'application/octet-stream',
      headers: { tenant: 'a', count: '7', encoding: 'gzip' },
      deliveries: 3,
      position: 'id-1',
      leaseUntil: 5,
      url: 'u',
      receiptHandle: 'h',
    });
    expect(delivery.raw).toBe(native);
    expect(Buffer.from(delivery.body).toString()).toBe('text');
  });

  test.each([
    ['by its redrive policy', { DeadLetterQueueSourceArn: 'arn:…:billing' }, 'received more than 100 times'],
    ['by a subscription', {}, 'could not be delivered by SNS'],
  ])('is dead-lettered %s', (_, attributes, reason) => {
    const letter = { ...native, Attributes: { ...native.Attributes, ...attributes } };
    expect(new SqsDelivery(letter, { url: 'u', lane: 'dead', leaseUntil: 5 }).brokerReason).toBe(reason);
    expect(new SqsDelivery(letter, { url: 'u', lane: 'work', leaseUntil: 5 }).brokerReason).toBeUndefined();
  });

  test("is no broker's dead letter when Waybill wrote it", () => {
    const MessageAttributes = { waybill: { DataType: 'String', StringValue: '{}' } };
    const letter = new SqsDelivery({ ...native, MessageAttributes }, { url: 'u', lane: 'dead', leaseUntil: 5 });
    expect(letter.brokerReason).toBeUndefined();
  });
});
