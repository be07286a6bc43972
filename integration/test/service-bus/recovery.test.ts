import { fork } from 'node:child_process';
import { once } from 'node:events';
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

test('after a cut what is held is still ours: renewed and settled over another connection', async () => {
  const driver = start(own.broker, { leaseMs: 20_000 });
  const { queue } = await place(driver);
  await driver.send(several('m', 6, queue), signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 6);
  await own.broker.dropConnections();
  const ends = await eventually(() => consumer.extend(deliveries));
  expect(Math.min(...ends)).toBeGreaterThan(Date.now() + 10_000);
  const [accepted, released, rejected] = [deliveries.slice(0, 3), deliveries.slice(3, 4), deliveries.slice(4)];
  await consumer.settle([
    ...accepted.map((delivery) => ({ delivery, action: 'accept' as const })),
    ...released.map((delivery) => ({ delivery, action: 'release' as const })),
    ...rejected.map((delivery) => ({ delivery, action: 'reject' as const, reason: 'no', headers: { waybill: 'x' } })),
  ]);
  expect(consumer.lost).toEqual([]);
  expect((await take(consumer, 1)).map(idOf)).toEqual(['m-3']);
  const { letters } = await driver.browse(queue, undefined, 10);
  expect(letters.map(idOf)).toEqual(['m-4', 'm-5']);
  expect(letters[0]?.headers).toEqual({ waybill: 'x' });
});

test('a link that the broker detaches is made again by receive, and what came on it is settled', async () => {
  const driver = start(own.broker, { leaseMs: 20_000 });
  const { queue } = await place(driver);
  await driver.send(several('m', 2, queue), signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 2);
  await own.broker.detachLinks(queue.name);
  await driver
    .send([message('later', work(queue))], signal())
    .catch(() => driver.send([message('later', work(queue))], signal()));
  expect((await take(consumer, 1)).map(idOf)).toEqual(['later']);
  await eventually(() => settleAll(consumer, deliveries));
  expect(await driver.admin?.depth(queue)).toMatchObject({ ready: 1 });
});

test.each([false, true])(
  'a broker that was gone for a while is used again without a new driver (ordered: %s)',
  async (ordered) => {
    const driver = start(own.broker);
    const { queue } = await place(driver, ordered);
    const consumer = await consume(driver, queue);
    await own.broker.goDown();
    const receiving = await failureOf(
      consumer.receive(1, signal(5_000)).then(() => consumer.receive(1, signal(5_000))),
    );
    expect(receiving.retryable).toBe(true);
    const sending = await failureOf(driver.send([message('one', work(queue))], signal()));
    expect(sending.code).toBe('UNAVAILABLE');
    await own.broker.comeUp();
    await eventually(() => driver.send([message('two', work(queue))], signal()));
    expect((await take(consumer, 1)).map(idOf)).toEqual(['two']);
  },
);

test('a broker that says nothing is given up, and found again', async () => {
  const driver = start(own.broker, { leaseMs: 20_000, timeoutMs: 1_000 });
  const { queue } = await place(driver);
  await driver.send(several('m', 2, queue), signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 2);
  own.broker.pause();
  try {
    const began = Date.now();
    expect((await failureOf(settleAll(consumer, deliveries))).retryable).toBe(true);
    expect((await failureOf(consumer.extend(deliveries))).retryable).toBe(true);
    expect(Date.now() - began).toBeLessThan(6_000);
  } finally {
    own.broker.unpause();
  }
  await eventually(() =>
    settleAll(consumer, deliveries).catch((error: { code: string }) => {
      if (error.code !== 'LEASE_LOST') throw error;
    }),
  );
  expect(await driver.admin?.depth(queue)).toMatchObject({ ready: 0 });
});

test('a driver is made and closed while nothing listens', async () => {
  await own.broker.goDown();
  try {
    const driver = start(own.broker);
    const began = Date.now();
    expect((await failureOf(driver.send([message('one', { topic: 'any' })], signal(3_000)))).code).toBe('UNAVAILABLE');
    await driver.close(Date.now() + 1_000);
    expect(Date.now() - began).toBeLessThan(5_000);
  } finally {
    await own.broker.comeUp();
  }
});

test('a process ends by itself once its driver is closed', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const { connectionString, managementUrl } = own.broker;
  const child = fork(new URL('ends-by-itself.mjs', import.meta.url), [connectionString, managementUrl, queue.name]);
  const [code] = (await Promise.race([
    once(child, 'exit'),
    new Promise((resolve) => setTimeout(resolve, 15_000, ['still there'])),
  ])) as [unknown];
  child.kill('SIGKILL');
  expect(code).toBe(0);
});

test('a closed driver refuses, and says so', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  const consumer = await consume(driver, queue);
  await driver.close(Date.now() + 1_000);
  await driver.close(Date.now() + 1_000);
  expect((await failureOf(driver.send([message('one', work(queue))], signal()))).code).toBe('CLOSED');
  expect((await failureOf(consumer.receive(1, signal()))).code).toBe('CLOSED');
});
