import { describe, expect, test } from 'vitest';
import {
  codesOf,
  consume,
  idOf,
  many,
  message,
  place,
  sendAll,
  servers,
  settleAll,
  start,
  signal,
  take,
  work,
} from './consuming-kit.ts';

describe.each(servers())('consume, $name', (server) => {
  test('subscribe to a missing queue is NOT_FOUND and names it', async () => {
    const driver = start(server);
    const queue = { name: 'no-such-queue', ordered: false, bindings: [] };
    await expect(consume(driver, queue)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'Queue "no-such-queue" does not exist. Apply the topology.',
    });
    await expect(consume(driver, queue, 'dead')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('"no-such-queue_dead"') as unknown,
    });
  });

  test('settled in any order and mix, exactly the accepted ones are gone', async () => {
    const driver = start(server);
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    await sendAll(driver, many(90, work(queue)));
    const deliveries = await take(subscription, 90);
    expect(deliveries.every(({ deliveries: count }) => count === 1)).toBe(true);
    const mixed = deliveries.map((delivery, index) => ({
      delivery,
      action: index % 3 === 0 ? ('release' as const) : ('accept' as const),
    }));
    const released = mixed.filter(({ action }) => action === 'release').map(({ delivery }) => idOf(delivery));
    await subscription.settle(mixed.toReversed());
    const again = await take(subscription, 30);
    expect(again.map((delivery) => idOf(delivery)).toSorted()).toEqual(released.toSorted());
    expect(again.every(({ deliveries: count }) => count === 2)).toBe(true);
    await settleAll(subscription, again);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  test('a message that is not settled does not hold up others', async () => {
    const driver = start(server);
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    await sendAll(driver, [message('slow', work(queue))]);
    const [slow] = await take(subscription, 1);
    await sendAll(driver, many(300, work(queue)));
    const seen = new Set<string>();
    while (seen.size < 300) {
      const some = await subscription.receive(20, signal());
      expect(some.length).toBeGreaterThan(0);
      for (const delivery of some) seen.add(idOf(delivery));
      await settleAll(subscription, some);
    }
    expect(seen.has('slow')).toBe(false);
    await settleAll(subscription, slow === undefined ? [] : [slow]);
  });

  test('what comes while a receive waits is received at once', async () => {
    const driver = start(server);
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    const waiting = subscription.receive(50, signal());
    await new Promise((resolve) => setTimeout(resolve, 500));
    const sentAt = Date.now();
    await driver.send([message('m', work(queue))], signal());
    expect((await waiting).map((delivery) => idOf(delivery))).toEqual(['m']);
    expect(Date.now() - sentAt).toBeLessThan(1_000);
  });

  test('a receive that is aborted resolves with none, and what its poll brings goes to the next', async () => {
    const driver = start(server);
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    expect(await subscription.receive(10, signal(200))).toEqual([]);
    await driver.send([message('m', work(queue))], signal());
    const [delivery] = await take(subscription, 1);
    expect(delivery).toMatchObject({ deliveries: 1 });
  });

  test('what a subscription brought beyond what was asked for is kept, and counts as handed out once', async () => {
    const driver = start(server);
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    await sendAll(driver, many(60, work(queue)));
    const counts: number[] = [];
    // Small receives, one right after the other: polls bring ten.
    for (let left = 60; left > 0;) {
      const some = await subscription.receive(Math.min(3, left), signal());
      for (const { deliveries } of some) counts.push(deliveries);
      left -= some.length;
      await settleAll(subscription, some);
    }
    expect(counts).toEqual(Array.from({ length: 60 }, () => 1));
  });

  test('waiting polls do not hold up sends', async () => {
    const driver = start(server, { maxConnections: 2 });
    const queues = await Promise.all([place(driver), place(driver), place(driver), place(driver)]);
    const subscriptions = await Promise.all(queues.map((queue) => consume(driver, queue)));
    const stop = new AbortController();
    const waiting = subscriptions.map((subscription) => subscription.receive(10, stop.signal));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const other = await place(start(server));
    const sentAt = Date.now();
    await driver.send([message('m', work(other))], signal());
    expect(Date.now() - sentAt).toBeLessThan(1_000);
    stop.abort();
    await Promise.all(waiting);
  });

  test('another queue: settlements of what was settled already fail for nothing else', async () => {
    const driver = start(server);
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    await sendAll(driver, many(2, work(queue)));
    const deliveries = await take(subscription, 2);
    await settleAll(subscription, deliveries.slice(0, 1));
    const codes = await codesOf(settleAll(subscription, deliveries));
    expect(codes.every((code) => code === '0 LEASE_LOST')).toBe(true);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
  });
});
