import type { Delivery } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { consume, idOf, many, place, sendAll, servers, settleAll, signal, start, take, work } from './consuming-kit.ts';

const keyOf = ({ key }: Delivery): string => key ?? '?';
const numberOf = (delivery: Delivery): number => Number(idOf(delivery).slice(1));

/** What came of each key, in the order in which it came. */
function byKey(deliveries: readonly Delivery[]): ReadonlyMap<string, readonly number[]> {
  const keys = new Map<string, number[]>();
  for (const delivery of deliveries) {
    const known = keys.get(keyOf(delivery));
    if (known === undefined) keys.set(keyOf(delivery), [numberOf(delivery)]);
    else known.push(numberOf(delivery));
  }
  return keys;
}

function expectOrder(deliveries: readonly Delivery[]): void {
  for (const [key, numbers] of byKey(deliveries)) {
    expect([key, numbers]).toEqual([key, numbers.toSorted((left, right) => left - right)]);
  }
}

describe.each(servers())('FIFO, $name', (server) => {
  test('the order of each key holds though several polls are open', async () => {
    const driver = start(server);
    const queue = await place(driver, true);
    const subscription = await consume(driver, queue);
    await sendAll(
      driver,
      many(400, work(queue), (index) => ({ key: `k${index % 7}` })),
    );
    const seen: Delivery[] = [];
    const settling: Promise<void>[] = [];
    while (seen.length < 400) {
      const some = await subscription.receive(100, signal());
      expect(some.length).toBeGreaterThan(0);
      seen.push(...some);
      // Not waited for: what frees a key is on its way while polls are open.
      settling.push(settleAll(subscription, some));
    }
    await Promise.all(settling);
    expect(new Set(seen.map((delivery) => idOf(delivery))).size).toBe(400);
    expectOrder(seen);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  test('two processes never hold messages of one key at the same time, and see them in order', async () => {
    const driver = start(server);
    const queue = await place(driver, true);
    const subscriptions = [await consume(driver, queue), await consume(start(server), queue)];
    await sendAll(
      driver,
      many(200, work(queue), (index) => ({ key: `k${index % 5}` })),
    );
    const seen: Delivery[] = [];
    const holders = new Map<string, number>();
    const overlaps: string[] = [];
    await Promise.all(
      subscriptions.map(async (subscription, process) => {
        while (seen.length < 200) {
          const some = await subscription.receive(20, signal(1_500));
          for (const delivery of some) {
            const holder = holders.get(keyOf(delivery));
            if (holder !== undefined && holder !== process) overlaps.push(keyOf(delivery));
            holders.set(keyOf(delivery), process);
          }
          seen.push(...some);
          await new Promise((resolve) => setTimeout(resolve, 5));
          for (const delivery of some) holders.delete(keyOf(delivery));
          await settleAll(subscription, some);
        }
      }),
    );
    expect(overlaps).toEqual([]);
    expectOrder(seen);
  });

  test('a key that is held does not hold up others', async () => {
    const driver = start(server);
    const queue = await place(driver, true);
    const subscription = await consume(driver, queue);
    await sendAll(
      driver,
      many(60, work(queue), (index) => ({ key: index % 2 === 0 ? 'held' : `k${index}` })),
    );
    const others = new Set<string>();
    const held: Delivery[] = [];
    while (others.size < 30) {
      const some = await subscription.receive(100, signal());
      expect(some.length).toBeGreaterThan(0);
      held.push(...some.filter((delivery) => keyOf(delivery) === 'held'));
      const free = some.filter((delivery) => keyOf(delivery) !== 'held');
      for (const delivery of free) others.add(idOf(delivery));
      await settleAll(subscription, free);
    }
    expectOrder(held);
    await settleAll(subscription, held);
  });

  test('what goes back comes again in its order, before what came after it', async () => {
    const driver = start(server);
    const queue = await place(driver, true);
    const subscription = await consume(driver, queue);
    await sendAll(
      driver,
      many(12, work(queue), () => ({ key: 'k' })),
    );
    const first = await subscription.receive(3, signal());
    const [done, ...back] = first;
    await settleAll(subscription, done === undefined ? [] : [done]);
    await settleAll(subscription, back, 'release');
    const seen: Delivery[] = [];
    while (seen.length < 11) {
      const some = await subscription.receive(5, signal());
      expect(some.length).toBeGreaterThan(0);
      seen.push(...some);
      await settleAll(subscription, some);
    }
    expect(seen.map((delivery) => numberOf(delivery))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  test('what a closing process held comes to another in its order', async () => {
    const driver = start(server);
    const queue = await place(driver, true);
    const closing = await consume(driver, queue);
    await sendAll(
      driver,
      many(40, work(queue), (index) => ({ key: `k${index % 2}` })),
    );
    await take(closing, 10);
    await closing.close(Date.now() + 5_000);
    const other = await consume(start(server), queue);
    const seen: Delivery[] = [];
    while (seen.length < 40) {
      const some = await other.receive(100, signal());
      expect(some.length).toBeGreaterThan(0);
      seen.push(...some);
      await settleAll(other, some);
    }
    for (const [, numbers] of byKey(seen)) expect(numbers).toEqual(numbers.toSorted((left, right) => left - right));
  });

  test('a key that FIFO takes for no group comes back as it was', async () => {
    const driver = start(server);
    const queue = await place(driver, true);
    const subscription = await consume(driver, queue);
    const keys = ['kä y', 'x'.repeat(200)];
    await sendAll(
      driver,
      many(2, work(queue), (index) => ({ key: keys[index] ?? '' })),
    );
    const deliveries = await take(subscription, 2);
    expect(deliveries.map((delivery) => keyOf(delivery)).toSorted()).toEqual(keys.toSorted());
    await settleAll(subscription, deliveries);
  });
});
