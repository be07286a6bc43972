import { createBus } from '@waybill/core';
import { fakeTime, memory } from '@waybill/memory';
import { expect, test } from 'vitest';
import { billing, mailer, OrderPlaced } from '../examples/orders/contracts.ts';
import type { Shop } from '../examples/orders/handlers.ts';

/** A bus whose time stands still until it is advanced: `clock` goes to the bus and to the broker. */
function start() {
  const clock = fakeTime();
  const shop: Shop = { charged: new Map(), mailed: new Set(), fixed: false };
  const bus = createBus({ source: '/test', driver: memory({ clock }), uses: [billing, mailer], clock });
  return { bus, clock, shop };
}

const order = {
  orderId: 'o-1',
  customer: 'ada',
  email: 'ada@example.com',
  language: 'en',
  payment: 'card' as const,
  totalCents: 1_250,
  currency: 'SEK',
};

test('a handler that fails is tried again when its delay is over', async () => {
  const { bus, clock, shop } = start();
  let bankAnswers = false;
  await bus.consume(billing, {
    'order.placed': ({ orderId }) => {
      if (!bankAnswers) throw new Error('The bank does not answer.');
      shop.charged.set(orderId, 'paid');
    },
  });
  await bus.publish(OrderPlaced, order);
  await clock.advance(999);
  bankAnswers = true;
  expect(shop.charged.size).toBe(0);
  await clock.advance(201);
  expect(shop.charged.get('o-1')).toBe('paid');
  await bus.close();
});

test('what fails for ever is a dead letter, and handled after a redrive', async () => {
  const { bus, clock, shop } = start();
  await bus.consume(
    mailer,
    {
      'order.placed': ({ orderId }) => {
        if (!shop.fixed) throw new Error('There is no template.');
        shop.mailed.add(orderId);
      },
    },
    { retry: { delaysMs: [1_000] } },
  );
  await bus.publish(OrderPlaced, order, { id: order.orderId });
  await clock.advance(1_200);
  const letters = [];
  for await (const { id, reason, attempts, error } of bus.deadLetters(mailer)) {
    letters.push({ id, reason, attempts, message: error?.message });
  }
  expect(letters).toEqual([{ id: 'o-1', reason: 'handler-failed', attempts: 2, message: 'There is no template.' }]);

  shop.fixed = true;
  const redriving = bus.redrive(mailer);
  await clock.advance(2_000);
  expect(await redriving).toEqual({ redriven: 1, kept: 0 });
  expect([...shop.mailed]).toEqual(['o-1']);
  await bus.close();
});
