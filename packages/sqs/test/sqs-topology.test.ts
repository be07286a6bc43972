import type { Queue, Topic } from '@waybill/core/driver';
import { expect, test } from 'vitest';
import { entitiesOf, otherKind } from '../src/sqs-topology.ts';

const events: Topic = { name: 'shop.events', keyed: false };
const orders: Topic = { name: 'orders', keyed: true };

function queue(name: string, given: Partial<Queue> = {}): Queue {
  return { name, ordered: false, bindings: [], ...given };
}

test('a queue is three SQS queues, of which the dead one comes first', () => {
  expect(entitiesOf({ topics: [], queues: [queue('shop.billing')] }).queues).toEqual([
    { entity: 'shop_billing_dead', fifo: false, isWork: false },
    { entity: 'shop_billing', fifo: false, isWork: true, dead: 'shop_billing_dead' },
    { entity: 'shop_billing_delay', fifo: false, isWork: false, dead: 'shop_billing_dead' },
  ]);
});

test('an ordered queue is FIFO but for its delay queue, which then has no dead queue', () => {
  expect(entitiesOf({ topics: [], queues: [queue('billing', { ordered: true })] }).queues).toEqual([
    { entity: 'billing_dead.fifo', fifo: true, isWork: false },
    { entity: 'billing.fifo', fifo: true, isWork: true, dead: 'billing_dead.fifo' },
    { entity: 'billing_delay', fifo: false, isWork: false },
  ]);
});

test('topics of bindings are topics too, each once', () => {
  const bindings = [{ topic: orders, types: ['a'] }];
  const { topics } = entitiesOf({ topics: [events, orders], queues: [queue('q', { bindings })] });
  expect(topics).toEqual([
    { entity: 'shop_events', fifo: false },
    { entity: 'orders.fifo', fifo: true },
  ]);
});

test('several bindings to one topic are one subscription with all of their types', () => {
  const bindings = [
    { topic: events, types: ['b', 'a'] },
    { topic: events, types: ['c', 'a'] },
  ];
  expect(entitiesOf({ topics: [], queues: [queue('q', { bindings })] }).subscriptions).toEqual([
    { topic: 'shop_events', queue: 'q', types: ['a', 'b', 'c'], dead: 'q_dead' },
  ]);
});

test('an unordered queue on a topic with keys has no queue for what SNS cannot deliver: it would be of the wrong kind', () => {
  const bindings = [{ topic: orders, types: ['a'] }];
  expect(entitiesOf({ topics: [], queues: [queue('q', { bindings })] }).subscriptions).toEqual([
    { topic: 'orders.fifo', queue: 'q', types: ['a'] },
  ]);
});

test('a name that is too long for SQS with what Waybill adds is refused, whichever queue it is of', () => {
  const longest = 'a'.repeat(70);
  expect(entitiesOf({ topics: [], queues: [queue(longest, { ordered: true })] }).queues).toHaveLength(3);
  expect(() => entitiesOf({ topics: [], queues: [queue(`${longest}a`, { ordered: true })] })).toThrow(
    /"a{71}_dead\.fifo" of 81 characters, and AWS takes 80/,
  );
  expect(() => entitiesOf({ topics: [{ name: 'a'.repeat(252), keyed: true }], queues: [] })).toThrow(/257 characters/);
});

test('more types than a filter policy takes are refused', () => {
  const types = Array.from({ length: 151 }, (_, n) => `type.${n}`);
  const wanted = (count: number): Queue => queue('q', { bindings: [{ topic: events, types: types.slice(0, count) }] });
  expect(entitiesOf({ topics: [], queues: [wanted(150)] }).subscriptions[0]?.types).toHaveLength(150);
  expect(() => entitiesOf({ topics: [], queues: [wanted(151)] })).toThrow(
    'Queue "q" is bound to 151 types of topic "shop.events", and a filter policy of SNS takes 150.',
  );
});

test.each([
  ['billing', false, 'billing.fifo'],
  ['billing.fifo', true, 'billing'],
])('the other kind of %s is its twin', (entity, fifo, twin) => {
  expect(otherKind({ entity, fifo })).toBe(twin);
});
