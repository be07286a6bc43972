import { queryObjects } from 'node:v8';

import { ServiceBusClient } from '@azure/service-bus';
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
  signal,
  start,
  take,
  work,
} from './kit.ts';

const own = ownStandin();

/** `count` messages of each key, in turn. */
function keyed(keys: readonly string[], count: number, target: Parameters<typeof message>[1]) {
  return Array.from({ length: count }, (_, n) => keys.map((key) => message(`${key}-${n}`, target, { key }))).flat();
}

test('messages of a key come in order through a topic, and to one process only', async () => {
  const driver = start(own.broker);
  const { queue, topic } = await place(driver, true);
  const keys = ['a', 'b', 'c', 'd'];
  await driver.send(keyed(keys, 20, { topic }), signal());
  const consumers = [await consume(driver, queue), await consume(start(own.broker), queue)];
  const seen = new Map<string, { readonly by: number; readonly id: string }[]>();
  let count = 0;
  const limit = signal();
  await Promise.all(
    consumers.map(async (consumer, by) => {
      while (count < 80 && !limit.aborted) {
        const deliveries = await consumer.receive(10, signal(200));
        count += deliveries.length;
        for (const delivery of deliveries) {
          const key = String(delivery.key);
          seen.set(key, [...(seen.get(key) ?? []), { by, id: idOf(delivery) }]);
        }
        await settleAll(consumer, deliveries);
      }
    }),
  );
  for (const key of keys) {
    expect(seen.get(key)?.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, n) => `${key}-${n}`));
    expect(new Set(seen.get(key)?.map(({ by }) => by)).size).toBe(1);
  }
});

test('a message without a key is a session of its own', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver, true);
  await driver.send([message('one', work(queue)), message('two', work(queue))], signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 2);
  expect(new Set(deliveries.map(({ key }) => key))).toEqual(new Set([undefined]));
});

test('the window of one hands out one message of one key', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver, true);
  await driver.send(keyed(['a', 'b'], 3, work(queue)), signal());
  const consumer = await consume(driver, queue, 'work', { maxInFlight: 1 });
  await take(consumer, 1);
  expect(await nothing(consumer, 700)).toBe(true);
  await consumer.resize(100);
  expect(await take(consumer, 5)).toHaveLength(5);
});

test('what is released comes back in order, in front of what came after it', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver, true);
  await driver.send(keyed(['a'], 5, work(queue)), signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 5);
  await settleAll(consumer, deliveries.slice(0, 1));
  await settleAll(consumer, deliveries.slice(1), 'release');
  expect((await take(consumer, 4)).map(idOf)).toEqual(['a-1', 'a-2', 'a-3', 'a-4']);
});

test('a held message keeps its successors back for longer than the lock, by one renewal of the session', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver, true);
  await driver.send(keyed(['a'], 3, work(queue)), signal());
  const consumer = await consume(driver, queue);
  const other = await consume(start(own.broker), queue);
  const deliveries = await take(consumer, 3);
  for (const until = Date.now() + 7_000; Date.now() < until;) {
    expect(await nothing(other, 1_500)).toBe(true);
    const ends = await consumer.extend(deliveries);
    expect(Math.min(...ends)).toBeGreaterThan(Date.now() + 3_000);
  }
  await settleAll(consumer, deliveries);
});

test('a session whose lock ran out is lost: onLost, extend and settle', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver, true);
  await driver.send(keyed(['a'], 2, work(queue)), signal());
  const consumer = await consume(driver, queue, 'work', { maxInFlight: 10 });
  const deliveries = await take(consumer, 2);
  await eventually(() => expect(consumer.lost.flat()).toEqual(deliveries), 8_000);
  expect(await consumer.extend(deliveries)).toEqual([0, 0]);
  const error = (await failureOf(settleAll(consumer, deliveries))) as BatchError;
  expect(error.failures.map(({ error: { code } }) => code)).toEqual(['LEASE_LOST', 'LEASE_LOST']);
  expect((await take(consumer, 2)).map(idOf)).toEqual(['a-0', 'a-1']);
});

test('a session goes on in another process after the connection of its holder broke', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver, true);
  await driver.send(keyed(['a'], 3, work(queue)), signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 3);
  await settleAll(consumer, deliveries.slice(0, 1));
  await own.broker.dropConnections();
  await eventually(() => expect(consumer.lost.flat()).toEqual(deliveries.slice(1)));
  expect((await take(consumer, 2)).map(idOf)).toEqual(['a-1', 'a-2']);
});

test('a message that its holders die of is counted, also where the broker does not', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver, true);
  await driver.send(keyed(['a'], 2, work(queue)), signal());
  const counts: number[][] = [];
  for (let death = 0; death < 4; death += 1) {
    const consumer = await consume(driver, queue);
    counts.push((await take(consumer, 2)).map(({ deliveries }) => deliveries));
    await own.broker.dropConnections();
    await eventually(() => expect(consumer.lost).not.toHaveLength(0));
    await consumer.close(Date.now() + 500);
  }
  expect(counts.map(([first]) => first)).toEqual([1, 2, 3, 4]);
  expect(counts.map(([, second]) => second)).toEqual([1, 1, 1, 1]);
});

test('a session that goes back in order counts nothing', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver, true);
  await driver.send(keyed(['a'], 2, work(queue)), signal());
  for (let turn = 0; turn < 3; turn += 1) {
    const consumer = await consume(driver, queue);
    expect((await take(consumer, 2)).map(({ deliveries }) => deliveries)).toEqual([1, 1]);
    await consumer.close(Date.now() + 2_000);
  }
});

test('a refused settlement of one leaves the others', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver, true);
  await driver.send(keyed(['a', 'b'], 1, work(queue)), signal());
  const consumer = await consume(driver, queue);
  const deliveries = (await take(consumer, 2)) as [Delivery, Delivery];
  await settleAll(consumer, [deliveries[0]]);
  const error = (await failureOf(settleAll(consumer, deliveries))) as BatchError;
  expect(error.failures.map(({ index }) => index)).toEqual([0]);
  await eventually(async () => expect(await driver.admin?.depth(queue)).toMatchObject({ ready: 0 }));
});

test('nothing is kept of a session that was let go', async () => {
  const driver = start(own.broker);
  const [{ queue }, { queue: other }] = [await place(driver, true), await place(driver, true)];
  const keys = Array.from({ length: 100 }, (_, n) => `key-${n}`);
  await driver.send([...keyed(keys, 1, work(queue)), message('one', work(other), { key: 'one' })], signal());
  const client = new ServiceBusClient(own.broker.connectionString);
  const session = await client.acceptNextSession(other.name);
  // Of all that live in this process, whoever made them.
  const count = (): number => queryObjects(session.constructor, { format: 'count' });
  const before = count();
  const consumer = await consume(driver, queue, 'work', { maxInFlight: 8 });
  for (let taken = 0; taken < keys.length; taken += 1) await settleAll(consumer, await take(consumer, 1));
  await eventually(() => expect(count()).toBeLessThan(before + 10));
  await session.close();
  await client.close();
});
