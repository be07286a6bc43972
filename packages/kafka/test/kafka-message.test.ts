import type { OutgoingMessage } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import type { StoredRecord } from '../src/client/port.ts';
import { KafkaDelivery } from '../src/from-kafka-message.ts';
import { KafkaPartition } from '../src/kafka-partition.ts';
import { toKafkaMessage } from '../src/to-kafka-message.ts';

const NOW = 1_000_000;
const base: OutgoingMessage = {
  target: { topic: 'orders' },
  id: 'id-1#a2',
  type: 'order.placed',
  contentType: 'application/json',
  body: new Uint8Array([1, 2, 3]).subarray(1),
  headers: { a: 'b' },
};
const work = { queue: 'billing', lane: 'work' } as const;

function delivered(record: Partial<StoredRecord>, before = 0): KafkaDelivery {
  const slot = { offset: 42, before, handed: false, done: false };
  const stored = { offset: 42, timestamp: 1, key: null, value: Buffer.from('x'), headers: undefined, ...record };
  return new KafkaDelivery(stored, slot, new KafkaPartition({ topic: 'orders', partition: 3 }, false));
}

describe('to Kafka', () => {
  test('a topic is a topic, and the key decides on its partition', () => {
    expect(toKafkaMessage({ ...base, key: 'customer-1' }, NOW)).toEqual({
      topic: 'orders',
      key: 'customer-1',
      value: Buffer.from([2, 3]),
      headers: { 'content-type': 'application/json', a: 'b' },
    });
  });

  test('a message without a key has none', () => {
    expect(toKafkaMessage(base, NOW).key).toBeNull();
    expect(toKafkaMessage({ ...base, key: '' }, NOW).key).toBe('');
  });

  test('a queue and its dead lane are topics of their own', () => {
    expect(toKafkaMessage({ ...base, target: work }, NOW).topic).toBe('billing.delay.0s');
    expect(toKafkaMessage({ ...base, target: { queue: 'billing', lane: 'dead' } }, NOW).topic).toBe('billing.dead');
  });

  test('what is due later waits in a delay topic, with its time', () => {
    const due = { ...base, target: work, notBefore: NOW };
    expect(toKafkaMessage(due, NOW)).toMatchObject({ topic: 'billing.delay.0s' });
    expect(toKafkaMessage(due, NOW)).not.toHaveProperty('timestamp');
    expect(toKafkaMessage(due, NOW - 1)).toMatchObject({ topic: 'billing.delay.1s', timestamp: NOW });
    expect(toKafkaMessage(due, NOW - 30_000)).toMatchObject({ topic: 'billing.delay.30s', timestamp: NOW });
  });

  test('attributes of a binary envelope are ce_ headers, and others keep their names', () => {
    const headers = { 'ce-specversion': '1.0', 'ce-id': 'id-1', 'ce-partitionkey': 'k', waybill: '{}', cent: '1' };
    expect(toKafkaMessage({ ...base, headers }, NOW).headers).toEqual({
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: 'id-1',
      ce_partitionkey: 'k',
      waybill: '{}',
      cent: '1',
    });
    expect(toKafkaMessage({ ...base, headers: { 'ce-own': 'x' } }, NOW).headers).toHaveProperty('ce-own', 'x');
  });

  test('the body is not copied', () => {
    const body = new Uint8Array(10).subarray(2, 8);
    const { value } = toKafkaMessage({ ...base, body }, NOW);
    expect([value.buffer, value.byteOffset, value.length]).toEqual([body.buffer, 2, 6]);
    const buffer = Buffer.alloc(10);
    expect(toKafkaMessage({ ...base, body: buffer }, NOW).value).toBe(buffer);
  });
});

describe('from Kafka', () => {
  test('names are lower-case, values are text, and the content type is apart', () => {
    const headers = { 'Content-Type': Buffer.from('a/b'), Waybill: Buffer.from('{"a":"ü"}'), ce_ID: 'id-1' };
    expect(delivered({ headers })).toMatchObject({
      contentType: 'a/b',
      headers: { waybill: '{"a":"ü"}', ce_id: 'id-1' },
      body: Buffer.from('x'),
    });
  });

  test('of a header that is given more than once the first counts', () => {
    const headers = {
      a: [Buffer.from('1'), Buffer.from('2')],
      none: undefined,
      empty: [],
      'content-type': ['x/y', 'z'],
    };
    expect(delivered({ headers })).toMatchObject({ contentType: 'x/y', headers: { a: '1' } });
    expect(Object.keys(delivered({ headers }).headers)).toEqual(['a']);
  });

  test('without headers it is bytes', () => {
    expect(delivered({})).toMatchObject({ contentType: 'application/octet-stream', headers: {} });
  });

  test('a tombstone has an empty body', () => {
    const { body, key } = delivered({ key: Buffer.from('k'), value: null });
    expect([body.byteLength, key]).toEqual([0, 'k']);
  });

  test('a record without a key has none, and an empty key is one', () => {
    expect(delivered({}).key).toBeUndefined();
    expect(delivered({ key: Buffer.alloc(0) }).key).toBe('');
  });

  test('it is named by its place, counts what came before, and has no clock', () => {
    expect(delivered({}, 2)).toMatchObject({
      position: 'orders/3@42',
      deliveries: 3,
      leaseUntil: Number.POSITIVE_INFINITY,
    });
  });

  test('what was written is what is read', () => {
    const { key, value, headers } = toKafkaMessage({ ...base, key: 'ключ', headers: { waybill: 'ü', b: '' } }, NOW);
    const stored = Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)]));
    expect(delivered({ key: Buffer.from(key ?? ''), value, headers: stored })).toMatchObject({
      key: 'ключ',
      contentType: 'application/json',
      headers: { waybill: 'ü', b: '' },
      body: Buffer.from([2, 3]),
    });
  });
});
