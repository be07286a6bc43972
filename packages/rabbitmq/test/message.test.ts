import type { OutgoingMessage } from '@waybill/core/driver';
import type { Message } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { fromRabbitmqMessage } from '../src/from-rabbitmq-message.ts';
import { toRabbitmqMessage } from '../src/to-rabbitmq-message.ts';

const base: OutgoingMessage = {
  target: { topic: 'orders' },
  id: 'id-1#a2',
  type: 'order.placed',
  contentType: 'application/json',
  body: new Uint8Array([1, 2, 3]).subarray(1),
  headers: { a: 'b' },
};
const native = (properties: object, deliveryTag = 1): Message =>
  ({
    content: Buffer.from('x'),
    fields: { deliveryTag, redelivered: false, exchange: '', routingKey: '' },
    properties,
  }) as unknown as Message;

describe('to RabbitMQ', () => {
  test('a topic is an exchange and the type its routing key', () => {
    expect(toRabbitmqMessage(base, 0)).toEqual({
      exchange: 'orders',
      routingKey: 'order.placed',
      content: Buffer.from([2, 3]),
      properties: {
        contentType: 'application/json',
        headers: { a: 'b' },
        persistent: true,
        messageId: 'id-1#a2',
        type: 'order.placed',
        mandatory: false,
      },
    });
  });

  test('a queue is a routing key of the default exchange, and must take it', () => {
    const message = toRabbitmqMessage({ ...base, target: { queue: 'billing', lane: 'dead' } }, 0);
    expect(message).toMatchObject({ exchange: '', routingKey: 'billing.dead', properties: { mandatory: true } });
  });

  test('what is due goes straight to its queue', () => {
    const target = { queue: 'billing', lane: 'work' } as const;
    expect(toRabbitmqMessage({ ...base, target, notBefore: 1_000 }, 1_000)).toMatchObject({
      exchange: '',
      routingKey: 'billing',
    });
    expect(toRabbitmqMessage({ ...base, target, notBefore: 1_001 }, 1_000).exchange).toBe('waybill.delay.00');
  });

  test('the body is not copied', () => {
    const body = new Uint8Array(10);
    expect(toRabbitmqMessage({ ...base, body }, 0).content.buffer).toBe(body.buffer);
    const buffer = Buffer.alloc(10);
    expect(toRabbitmqMessage({ ...base, body: buffer }, 0).content).toBe(buffer);
  });
});

describe('from RabbitMQ', () => {
  test('headers of the broker stay behind, names are lower-case, values are strings', () => {
    const headers = {
      Waybill: '{}',
      'x-death': [{}],
      'x-delivery-count': 2,
      'X-First-Death-Reason': 'expired',
      n: 1.5,
      none: null,
    };
    expect(fromRabbitmqMessage(native({ headers, contentType: 'a/b', messageId: 'm' }), 'work', 'c')).toMatchObject({
      headers: { waybill: '{}', n: '1.5' },
      deliveries: 3,
      contentType: 'a/b',
      position: 'm',
    });
  });

  test('the reason of the broker is the last one, and only on the dead lane', () => {
    const headers = { 'x-first-death-reason': 'expired', 'x-last-death-reason': 'delivery_limit' };
    expect(fromRabbitmqMessage(native({ headers }), 'dead', 'c').brokerReason).toBe('delivery_limit');
    expect(fromRabbitmqMessage(native({ headers }), 'work', 'c')).not.toHaveProperty('brokerReason');
    expect(fromRabbitmqMessage(native({ headers: { a: 'b' } }), 'dead', 'c')).not.toHaveProperty('brokerReason');
  });

  test('a message without an id, or with one that is too long, has a position of its own', () => {
    expect(fromRabbitmqMessage(native({}, 7), 'work', 'abc').position).toBe('abc@7');
    expect(fromRabbitmqMessage(native({ messageId: 'x'.repeat(97) }, 8), 'work', 'abc').position).toBe('abc@8');
  });
});
