import type { BatchError, Delivery } from '@waybill/core/driver';
import { expect, test } from 'vitest';

import {
  consume,
  eventually,
  failureOf,
  idOf,
  message,
  nothing,
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

test('what is accepted is gone, what is released comes again', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send(several('m', 4, queue), signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 4);
  await consumer.settle(
    deliveries.map((delivery, index) => ({ delivery, action: index % 2 === 0 ? 'accept' : 'release' })),
  );
  const again = await take(consumer, 2);
  expect(new Set(again.map(idOf))).toEqual(new Set(['m-1', 'm-3']));
  expect(again.map(({ deliveries: count }) => count)).toEqual([2, 2]);
  await settleAll(consumer, again);
  await eventually(async () => expect(await driver.admin?.depth(queue)).toMatchObject({ ready: 0, deadLettered: 0 }));
});

test('each outcome of a mixed batch is the one that was asked for', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send(several('m', 30, queue), signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 30);
  await consumer.settle(
    deliveries.map((delivery, index) =>
      index % 3 === 0
        ? { delivery, action: 'reject', reason: 'no', headers: {} }
        : { delivery, action: index % 3 === 1 ? 'accept' : 'release' },
    ),
  );
  const again = await take(consumer, 10);
  expect(new Set(again.map(idOf))).toEqual(new Set(deliveries.filter((_, index) => index % 3 === 2).map(idOf)));
  await eventually(async () => expect(await driver.admin?.depth(queue)).toMatchObject({ ready: 10, deadLettered: 10 }));
});

test('no more is handed out than the window, until it is widened', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send(several('m', 50, queue), signal());
  const consumer = await consume(driver, queue, 'work', { maxInFlight: 1 });
  const first = await take(consumer, 1);
  expect(await nothing(consumer, 500)).toBe(true);
  await consumer.resize(20);
  const others = await take(consumer, 19);
  expect(await nothing(consumer, 500)).toBe(true);
  await settleAll(consumer, [...first, ...others]);
  expect(await take(consumer, 20)).toHaveLength(20);
});

test('a narrower window gives back what nobody received', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const consumer = await consume(driver, queue, 'work', { maxInFlight: 20 });
  const other = await consume(driver, queue, 'work', { maxInFlight: 1 });
  await driver.send(several('m', 20, queue), signal());
  const held = await take(consumer, 1);
  await consumer.resize(0);
  const rest = new Set<string>();
  while (rest.size < 19) {
    const some = await take(other, 1);
    some.forEach((delivery) => rest.add(idOf(delivery)));
    await settleAll(other, some);
  }
  expect(rest.has(idOf(held[0] as Delivery))).toBe(false);
  await driver.send([message('later', work(queue))], signal());
  expect(await nothing(consumer, 300)).toBe(true);
});

test('one delivery that is held stalls none of the thousands behind it', async () => {
  const driver = start(own.broker, { leaseMs: 60_000 });
  const { queue } = await place(driver);
  const consumer = await consume(driver, queue, 'work', { maxInFlight: 100 });
  await driver.send([message('held', work(queue))], signal());
  const held = await take(consumer, 1);
  for (let lot = 0; lot < 10; lot += 1) await driver.send(several(`m${lot}`, 500, queue), signal());
  let done = 0;
  while (done < 5_000) {
    const some = await take(consumer, 1);
    const more = await consumer.receive(100, signal(10));
    await settleAll(consumer, [...some, ...more]);
    done += some.length + more.length;
  }
  await settleAll(consumer, held);
}, 60_000);

test('a lease that is extended outlives the lock of the queue', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send(several('m', 2, queue), signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 2);
  expect(deliveries[0]?.leaseUntil).toBeLessThanOrEqual(Date.now() + 5_000);
  for (const until = Date.now() + 7_000; Date.now() < until;) {
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    for (const end of await consumer.extend(deliveries)) expect(end).toBeGreaterThan(Date.now() + 3_000);
  }
  await settleAll(consumer, deliveries);
  expect(await nothing(consumer, 500)).toBe(true);
});

test('a lease that ran out is lost: for extend, and for settle', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send(several('m', 2, queue), signal());
  const consumer = await consume(driver, queue, 'work', { maxInFlight: 2 });
  const [first, second] = (await take(consumer, 2)) as [Delivery, Delivery];
  const other = await consume(driver, queue);
  expect(new Set((await take(other, 2)).map(idOf))).toEqual(new Set(['m-0', 'm-1']));
  expect(await consumer.extend([first])).toEqual([0]);
  const error = (await failureOf(settleAll(consumer, [second]))) as BatchError;
  expect(error.failures.map(({ index, error: { code } }) => [index, code])).toEqual([[0, 'LEASE_LOST']]);
});

test('two copies with the same id have leases of their own', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send([message('same', work(queue))], signal());
  await driver.send([message('same', work(queue))], signal());
  const consumer = await consume(driver, queue);
  const [first, second] = (await take(consumer, 2)) as [Delivery, Delivery];
  await settleAll(consumer, [first]);
  const [until] = await consumer.extend([second]);
  expect(until).toBeGreaterThan(Date.now());
  await settleAll(consumer, [second]);
});

test('close gives everything back within its deadline', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send(several('m', 10, queue), signal());
  const consumer = await consume(driver, queue);
  await take(consumer, 3);
  const began = Date.now();
  await consumer.close(Date.now() + 5_000);
  expect(Date.now() - began).toBeLessThan(2_000);
  const other = await consume(driver, queue);
  expect(await take(other, 10, 2_000)).toHaveLength(10);
});

test('a message without an id, a type, headers or bytes of others arrives', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const sender = driver.client.createSender(queue.name);
  await sender.sendMessages([{ body: { a: 1 } }, { body: 'text', applicationProperties: { N: 1, at: new Date(0) } }]);
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 2);
  expect(deliveries.map(({ body }) => Buffer.from(body).toString())).toEqual(['{"a":1}', '"text"']);
  expect(deliveries[1]?.headers).toEqual({ n: '1', at: '1970-01-01T00:00:00.000Z' });
  await consumer.extend(deliveries);
  await settleAll(consumer, deliveries);
});

test('a queue that does not exist is NOT_FOUND by its name', async () => {
  const driver = start(own.broker);
  const queue = { name: 'nowhere', ordered: false, bindings: [] };
  const error = await failureOf(driver.subscribe(queue, 'work', { maxInFlight: 1, onLost: () => undefined }));
  expect(error.code).toBe('NOT_FOUND');
  expect(error.message).toContain('"nowhere"');
  const ordered = { ...queue, ordered: true };
  const second = await failureOf(driver.subscribe(ordered, 'work', { maxInFlight: 1, onLost: () => undefined }));
  expect(second.code).toBe('NOT_FOUND');
});
