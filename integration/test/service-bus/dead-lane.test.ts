import type { Delivery } from '@waybill/core/driver';
import { expect, test } from 'vitest';

import {
  consume,
  eventually,
  failureOf,
  idOf,
  message,
  ownStandin,
  place,
  settleAll,
  several,
  signal,
  start,
  take,
  work,
} from './kit.ts';

const own = ownStandin();

async function rejected(driver: ReturnType<typeof start>, count: number, ordered = false) {
  const found = await place(driver, ordered);
  await driver.send(several('m', count, found.queue, { headers: { own: 'yes', waybill: 'old' } }), signal());
  const consumer = await consume(driver, found.queue, 'work', { maxInFlight: 1_000 });
  const deliveries = await take(consumer, count);
  const headers = { waybill: '{"reason":"no"}' };
  await consumer.settle(deliveries.map((delivery) => ({ delivery, action: 'reject', reason: 'no', headers })));
  return { ...found, consumer };
}

test.each([false, true])(
  'a rejected message keeps its bytes and headers, and gets ours (ordered: %s)',
  async (ordered) => {
    const driver = start(own.broker);
    const { queue } = await rejected(driver, 1, ordered);
    const lane = await consume(driver, queue, 'dead');
    const [letter] = await take(lane, 1);
    expect(Buffer.from(letter?.body ?? []).toString()).toBe('{"id":"m-0"}');
    expect(letter?.headers).toEqual({ own: 'yes', waybill: '{"reason":"no"}' });
    expect(letter?.brokerReason).toBeUndefined();
    expect((letter?.raw as { deadLetterReason?: string }).deadLetterReason).toBe('no');
    await settleAll(lane, letter === undefined ? [] : [letter]);
    await eventually(async () => expect(await driver.admin?.depth(queue)).toMatchObject({ ready: 0, deadLettered: 0 }));
  },
);

test('a letter of the broker says its reason', async () => {
  const driver = start(own.broker, { maxDeliveries: 3 });
  const { queue } = await place(driver);
  await driver.send([message('poison', work(queue))], signal());
  const consumer = await consume(driver, queue);
  for (let count = 1; count <= 3; count += 1) {
    const deliveries = await take(consumer, 1);
    expect(deliveries[0]?.deliveries).toBe(count);
    await settleAll(consumer, deliveries, 'release');
  }
  const letters = (await driver.browse(queue, undefined, 10)).letters;
  expect(letters.map(({ brokerReason }) => brokerReason)).toEqual(['MaxDeliveryCountExceeded']);
});

test('what a subscription cannot forward is a letter of the queue', async () => {
  const driver = start(own.broker);
  const { queue, topic } = await place(driver, true);
  const sender = driver.client.createSender(topic);
  await sender.sendMessages({ body: Buffer.from('x'), messageId: 'no-session', subject: 'order.placed' });
  await eventually(async () => expect((await driver.admin?.depth(queue))?.deadLettered).toBe(1));
  const { letters } = await driver.browse(queue, undefined, 10);
  expect(letters.map(idOf)).toEqual(['no-session']);
  expect(letters[0]?.brokerReason).toBeTypeOf('string');
  const lane = await consume(driver, queue, 'dead');
  await settleAll(lane, await take(lane, 1));
  await eventually(async () => expect((await driver.admin?.depth(queue))?.deadLettered).toBe(0));
});

test('a listing takes nothing, and goes on page by page', async () => {
  const driver = start(own.broker);
  const { queue } = await rejected(driver, 25);
  const lane = await consume(driver, queue, 'dead', { maxInFlight: 5 });
  await take(lane, 5);
  const seen: Delivery[] = [];
  let after: string | undefined;
  do {
    const page = await driver.browse(queue, after, 10);
    seen.push(...page.letters);
    after = page.after;
  } while (after !== undefined);
  expect(new Set(seen.map(idOf)).size).toBe(25);
  expect(seen).toHaveLength(25);
  expect(new Set(seen.map(({ position }) => position)).size).toBe(25);
  expect((await driver.admin?.depth(queue))?.deadLettered).toBe(25);
});

test('an unknown page is refused', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  expect((await failureOf(driver.browse(queue, 'nonsense', 10))).code).toBe('INVALID_ARGUMENT');
});

test('two thousand letters can be held at once', async () => {
  const driver = start(own.broker, { leaseMs: 120_000 });
  const { queue } = await place(driver);
  const consumer = await consume(driver, queue, 'work', { maxInFlight: 500 });
  for (let lot = 0; lot < 5; lot += 1) {
    await driver.send(several(`m${lot}`, 500, queue), signal());
    const deliveries = await take(consumer, 500);
    await consumer.settle(deliveries.map((delivery) => ({ delivery, action: 'reject', reason: 'no', headers: {} })));
  }
  const lane = await consume(driver, queue, 'dead', { maxInFlight: 1 });
  const first = await take(lane, 1);
  await lane.resize(3_000);
  const letters = [...first, ...(await take(lane, 2_499, 30_000))];
  expect(new Set(letters.map(idOf)).size).toBe(2_500);
  await settleAll(lane, letters.slice(0, 1_000));
  await settleAll(lane, letters.slice(1_000), 'release');
  await eventually(async () => expect((await driver.admin?.depth(queue))?.deadLettered).toBe(1_500));
}, 60_000);

test('bookkeeping that has no room beside the properties of a message is left out, and its reason stays', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const headers = { own: 'x'.repeat(60_000) };
  await driver.send(several('m', 2, queue, { headers }), signal());
  const consumer = await consume(driver, queue);
  const [first, second] = (await take(consumer, 2)) as [Delivery, Delivery];
  await consumer.settle([
    { delivery: first, action: 'reject', reason: 'no', headers: { waybill: 'y'.repeat(3_000) } },
    { delivery: second, action: 'reject', reason: 'no', headers: { waybill: 'y'.repeat(500) } },
  ]);
  const { letters } = await driver.browse(queue, undefined, 10);
  const byId = new Map(letters.map((letter) => [idOf(letter), letter]));
  expect(byId.get(idOf(first))).toMatchObject({ headers, brokerReason: 'no' });
  expect(byId.get(idOf(second))?.headers).toEqual({ ...headers, waybill: 'y'.repeat(500) });
});

test('purge empties one lane, what is delayed and the letters of subscriptions included', async () => {
  const driver = start(own.broker);
  const { queue } = await rejected(driver, 3);
  await driver.send(several('w', 5, queue), signal());
  await driver.send(several('d', 2, queue, { notBefore: Date.now() + 60_000 }), signal());
  const purging = start(own.broker);
  await eventually(async () =>
    expect(await purging.admin?.depth(queue)).toMatchObject({ deadLettered: 3, delayed: 2 }),
  );
  await purging.admin?.purge(queue, 'dead');
  expect(await purging.admin?.depth(queue)).toMatchObject({ deadLettered: 0, delayed: 2 });
});

test.each([false, true])('purge of the work lane leaves the letters (ordered: %s)', async (ordered) => {
  const driver = start(own.broker);
  const { queue, consumer } = await rejected(driver, 2, ordered);
  await consumer.close(Date.now() + 2_000);
  await driver.send(several('w', 5, queue), signal());
  await driver.send(several('d', 2, queue, { notBefore: Date.now() + 60_000 }), signal());
  await driver.admin?.purge(queue, 'work');
  expect(await driver.admin?.depth(queue)).toEqual({ ready: 0, deadLettered: 2, delayed: 0 });
});
