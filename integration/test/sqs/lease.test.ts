import { describe, expect, test } from 'vitest';
import {
  codesOf,
  consume,
  idOf,
  many,
  message,
  place,
  rest,
  sendAll,
  servers,
  settleAll,
  signal,
  start,
  take,
  work,
} from './consuming-kit.ts';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(servers())('lease, $name', (server) => {
  test('what is not settled comes again after its lease, and counts one more', async () => {
    const driver = start(server, { leaseMs: 2_000 });
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    await driver.send([message('m', work(queue))], signal());
    const receivedAt = Date.now();
    const [first] = await take(subscription, 1);
    expect(first?.leaseUntil).toBeLessThanOrEqual(Date.now() + 2_000);
    const [second] = await take(subscription, 1);
    expect(Date.now() - receivedAt).toBeGreaterThanOrEqual(1_900);
    expect(second).toMatchObject({ deliveries: 2 });
  });

  test('what is extended past several leases stays with its holder, and is accepted by it', async () => {
    const driver = start(server, { leaseMs: 3_000 });
    const queue = await place(driver);
    const [holder, other] = [await consume(driver, queue), await consume(start(server, { leaseMs: 3_000 }), queue)];
    await sendAll(driver, many(25, work(queue)));
    const held = await take(holder, 25);
    const others = rest(other, 9_000);
    for (let round = 0; round < 6; round += 1) {
      await sleep(1_500);
      const before = Date.now();
      const leases = await holder.extend(held);
      for (const lease of leases) expect(lease).toBeGreaterThanOrEqual(before + 3_000);
    }
    expect(await others).toEqual([]);
    await settleAll(holder, held);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  test('once another has it, it is lost to its first holder, whose settlement changes nothing', async () => {
    const driver = start(server, { leaseMs: 2_000 });
    const queue = await place(driver);
    const [first, second] = [await consume(driver, queue), await consume(start(server), queue)];
    await sendAll(driver, [message('a', work(queue)), message('b', work(queue))]);
    const stale = await take(first, 2);
    const fresh = await take(second, 2);
    await sendAll(driver, [message('c', work(queue))]);
    const [own] = await take(first, 1);
    const all = [...stale, ...(own === undefined ? [] : [own])];
    expect((await first.extend(all)).map((lease) => lease > 0)).toEqual([false, false, true]);
    expect(await codesOf(settleAll(first, all))).toEqual(['0 LEASE_LOST', '1 LEASE_LOST']);
    expect(await codesOf(settleAll(first, stale, 'release'))).toEqual(['0 LEASE_LOST', '1 LEASE_LOST']);
    expect(await rest(first, 1_500)).toEqual([]);
    await settleAll(second, fresh);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  test('what waited for a receive longer than its lease is not handed out', async () => {
    const driver = start(server, { leaseMs: 2_000 });
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    await sendAll(driver, many(10, work(queue)));
    // The second receive comes right after the first: its poll brings ten.
    const some = [...(await subscription.receive(1, signal())), ...(await subscription.receive(1, signal()))];
    await settleAll(subscription, some);
    await sleep(2_500);
    const again = await take(subscription, 8);
    const now = Date.now();
    expect(again.every(({ leaseUntil }) => leaseUntil > now)).toBe(true);
    expect(again.map((delivery) => idOf(delivery)).toSorted()).toEqual(
      many(10, work(queue))
        .map(({ id }) => id)
        .filter((id) => !some.some((delivery) => idOf(delivery) === id))
        .toSorted(),
    );
    await settleAll(subscription, again);
  });

  test('leases of the shortest kind are handed out and settled too', async () => {
    const driver = start(server, { leaseMs: 1_000, pollSeconds: 20 });
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    const waiting = take(subscription, 1);
    await sleep(2_200);
    await driver.send([message('m', work(queue))], signal());
    await settleAll(subscription, await waiting);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
  });
});
