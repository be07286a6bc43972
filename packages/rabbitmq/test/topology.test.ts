import { describe, expect, test } from 'vitest';
import { entitiesOf, type QueueEntity } from '../src/rabbitmq-topology.ts';

const topic = { name: 'orders', keyed: true };
const billing = { name: 'billing', ordered: true, bindings: [{ topic, types: ['order.placed', 'order.paid'] }] };
const invoices = { name: 'invoices', ordered: false, bindings: [] };
const entities = entitiesOf({ topics: [topic], queues: [billing, invoices] });
const queues = entities.filter((entity): entity is QueueEntity => entity.kind === 'queue');
const settingsOf = (name: string): QueueEntity['arguments'] | undefined =>
  queues.find((queue) => queue.name === name)?.arguments;

describe('topology', () => {
  test('an ordered queue has a single active consumer, its dead lane behind it, and time to hold messages', () => {
    expect(settingsOf('billing')).toEqual({
      'x-queue-type': 'quorum',
      'x-delivery-limit': 1_000,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'billing.dead',
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
      'x-consumer-timeout': 43_200_000,
      'x-single-active-consumer': true,
    });
    expect(settingsOf('invoices')).toMatchObject({ 'x-delivery-limit': 100 });
    expect(settingsOf('invoices')).not.toHaveProperty('x-single-active-consumer');
  });

  test('no queue drops anything: quorum, a limit of its own, no lifetime of the queue, safe dead-lettering', () => {
    for (const { name, arguments: settings } of queues) {
      const lossless = name.startsWith('waybill.delay.') ? 'x-message-ttl' : 'x-delivery-limit';
      expect([name, settings]).toEqual([
        name,
        expect.objectContaining({ 'x-queue-type': 'quorum', [lossless]: expect.any(Number) as unknown }),
      ]);
      expect(settings).not.toHaveProperty('x-expires');
      if ('x-dead-letter-exchange' in settings) {
        expect(settings).toMatchObject({ 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' });
      }
    }
  });

  test('each entity comes behind what it needs', () => {
    const made = new Set<string>(['exchange ']);
    for (const entity of entities) {
      if (entity.kind === 'binding') {
        expect(made).toContain(`exchange ${entity.source}`);
        expect(made).toContain(`${entity.to} ${entity.name}`);
        continue;
      }
      const target = 'x-dead-letter-exchange' in entity.arguments ? entity.arguments['x-dead-letter-exchange'] : '';
      expect(made).toContain(`exchange ${String(target)}`);
      made.add(`${entity.kind} ${entity.name}`);
    }
  });

  test('without queues there is no ladder', () => {
    expect(entitiesOf({ topics: [topic], queues: [] })).toEqual([
      { kind: 'exchange', name: 'orders', type: 'topic', arguments: {} },
    ]);
  });
});
