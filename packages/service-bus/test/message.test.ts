import type { ServiceBusReceivedMessage } from '@azure/service-bus';
import type { OutgoingMessage } from '@waybill/core/driver';
import Long from 'long';
import { describe, expect, test } from 'vitest';
import { fromServiceBusMessage, REJECTED } from '../src/from-service-bus-message.ts';
import { propertiesFit, refusalOf, toServiceBusMessage } from '../src/to-service-bus-message.ts';

const outgoing: OutgoingMessage = {
  target: { queue: 'billing', lane: 'work' },
  id: 'one#a2',
  type: 'order.placed',
  contentType: 'application/json',
  body: Buffer.from('{}'),
  headers: { waybill: '{"attempt":2}' },
};

function received(more: Partial<ServiceBusReceivedMessage> = {}): ServiceBusReceivedMessage {
  return {
    body: Buffer.from('x'),
    sequenceNumber: Long.fromNumber(7),
    messageId: 'one',
    state: 'active',
    ...more,
  } as never;
}

const from = (more?: Partial<ServiceBusReceivedMessage>) =>
  fromServiceBusMessage(received(more), { name: 'billing', leaseUntil: 5 });

describe('to Service Bus', () => {
  test('the key is the session, and the id where there is none', () => {
    expect(toServiceBusMessage({ ...outgoing, key: 'k' }).sessionId).toBe('k');
    expect(toServiceBusMessage(outgoing).sessionId).toBe('one#a2');
    expect(toServiceBusMessage({ ...outgoing, key: '' }).sessionId).toBe('one#a2');
  });

  test('a key that is too long for a session has a digest, the same each time', () => {
    const [first, again, other] = ['x'.repeat(200), 'x'.repeat(200), 'x'.repeat(201)].map(
      (key) => toServiceBusMessage({ ...outgoing, key }).sessionId,
    );
    expect(first).toBe(again);
    expect(first).not.toBe(other);
    expect(first?.length).toBeLessThanOrEqual(128);
  });

  test('a delay is a scheduled time, and bytes are not copied', () => {
    const bytes = new Uint8Array([1, 2, 3, 4]).subarray(1, 3);
    const message = toServiceBusMessage({ ...outgoing, body: bytes, notBefore: 1_000 });
    expect(message.scheduledEnqueueTimeUtc).toEqual(new Date(1_000));
    expect(message.body).toEqual(Buffer.from([2, 3]));
    expect((message.body as Buffer).buffer).toBe(bytes.buffer);
    expect('scheduledEnqueueTimeUtc' in toServiceBusMessage(outgoing)).toBe(false);
  });

  test('what the broker would refuse is told before', () => {
    expect(refusalOf(outgoing, 1_000)).toBeUndefined();
    expect(refusalOf({ ...outgoing, body: Buffer.alloc(1_000) }, 1_000)?.code).toBe('TOO_LARGE');
    expect(refusalOf({ ...outgoing, headers: { note: 'ä'.repeat(31_000) } }, 1_000_000)?.code).toBe('TOO_LARGE');
    expect(propertiesFit({ a: 'x'.repeat(60_000) })).toBe(true);
    expect(propertiesFit({ a: 'x'.repeat(61_440) })).toBe(false);
  });
});

describe('from Service Bus', () => {
  test('the first delivery is 1, and what the broker did not count is added', () => {
    expect(from({ deliveryCount: 0 }).deliveries).toBe(1);
    const origin = { name: 'billing', leaseUntil: 5, uncounted: 2 };
    expect(fromServiceBusMessage(received({ deliveryCount: 3 }), origin).deliveries).toBe(6);
  });

  test('a position names entity and sequence number', () => {
    expect(from().position).toBe('billing@7');
  });

  test('a session that is the id is no key', () => {
    expect('key' in from({ sessionId: 'one' })).toBe(false);
    expect(from({ sessionId: 'k' }).key).toBe('k');
  });

  test('headers are lower case and text, whatever they were', () => {
    const headers = from({
      applicationProperties: { A: 1, B: true, c: 'x', d: new Date(0), none: null },
    }).headers;
    expect(headers).toEqual({ a: '1', b: 'true', c: 'x', d: '1970-01-01T00:00:00.000Z' });
  });

  test('a message of others may lack everything', () => {
    const delivery = from({ body: undefined, messageId: undefined as never });
    expect(delivery).toMatchObject({ contentType: 'application/octet-stream', headers: {}, position: 'billing@7' });
    expect(delivery.body.byteLength).toBe(0);
    expect(Buffer.from(from({ body: { a: 1 } }).body).toString()).toBe('{"a":1}');
  });

  test('the reason is the broker’s unless we rejected it, and is no header', () => {
    const applicationProperties = {
      DeadLetterReason: 'TTLExpiredException',
      DeadLetterErrorDescription: 'late',
      own: 'x',
    };
    const letter = from({
      applicationProperties,
      deadLetterReason: 'TTLExpiredException',
      deadLetterErrorDescription: 'late',
    });
    expect(letter.brokerReason).toBe('TTLExpiredException');
    expect(letter.headers).toEqual({ own: 'x' });
    expect('brokerReason' in from({ deadLetterReason: 'no', deadLetterErrorDescription: REJECTED })).toBe(false);
  });
});
