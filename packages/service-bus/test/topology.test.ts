import type { Queue } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { entitiesOf, nameOf, placesOf, ruleName } from '../src/service-bus-topology.ts';

const orders = { name: 'orders', keyed: true };
const billing: Queue = { name: 'billing', ordered: true, bindings: [{ topic: orders, types: ['order.placed'] }] };

describe('topology', () => {
  test('a queue comes before the subscription that forwards to it, and a topic once', () => {
    const entities = entitiesOf({ topics: [orders], queues: [billing, { ...billing, name: 'mailer' }] });
    expect(entities.map((entity) => `${entity.kind} ${nameOf(entity)}`)).toEqual([
      'queue billing',
      'queue mailer',
      'topic orders',
      'subscription orders/billing',
      'subscription orders/mailer',
    ]);
    expect(entities[0]).toMatchObject({ requiresSession: true });
  });

  test('a queue with the name of a topic is refused, in whatever letters', () => {
    const queue = { ...billing, name: 'Orders' };
    expect(() => entitiesOf({ topics: [orders], queues: [queue] })).toThrow(
      'a queue and a topic of the same name, "Orders"',
    );
  });

  test('the dead lane is that of the queue, and of its subscriptions', () => {
    expect(placesOf(billing, 'work')).toEqual([{ path: 'billing', name: 'billing' }]);
    expect(placesOf(billing, 'dead')).toEqual([
      { path: 'billing/$DeadLetterQueue', name: 'billing.dead' },
      { path: 'orders/Subscriptions/billing/$DeadLetterQueue', name: 'billing.dead.1' },
    ]);
  });

  test('rules have names that the broker takes, one for each type', () => {
    const types = ['order.placed', 'a b', 'a/b', '$Default', 'x'.repeat(51), `${'x'.repeat(51)}y`];
    const names = types.map(ruleName);
    expect(names[0]).toBe('order.placed');
    expect(new Set(names).size).toBe(types.length);
    for (const name of names) {
      expect(name).toMatch(/^[A-Za-z0-9._-]{1,50}$/);
    }
  });
});
