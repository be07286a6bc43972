import type { Delivery, Queue } from '@waybill/core/driver';
import type { SqsDriver } from '@waybill/sqs';
import { describe, expect, onTestFinished } from 'vitest';

import { eventually, type Proxy, startProxy } from '../../src/index.ts';
import { containerTest, sharedToxiproxy } from '../shared.ts';
import {
  codesOf,
  consume,
  idOf,
  many,
  message,
  place,
  sendAll,
  type Server,
  servers,
  settleAll,
  signal,
  start,
  take,
  work,
} from './consuming-kit.ts';
import { optionsFor } from './kit.ts';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function openProxy(server: Server): Promise<Proxy> {
  const { endpoint } = optionsFor(server);
  if (endpoint === undefined) throw new Error('A server in a container has an endpoint.');
  const proxy = await startProxy(sharedToxiproxy(), endpoint);
  onTestFinished(() => proxy.close());
  return proxy;
}

const idsOf = (deliveries: readonly Delivery[]): readonly string[] =>
  deliveries.map((delivery) => idOf(delivery)).toSorted();

async function left(driver: SqsDriver, queue: Queue): Promise<number> {
  const { ready, inFlight = 0 } = await driver.admin.depth(queue);
  return ready + inFlight;
}

describe.each(servers())('a broken connection, $name', (server) => {
  containerTest('a poll that is cut rejects the waiting receive once, and the next one polls again', async () => {
    const proxy = await openProxy(server);
    const direct = start(server);
    const queue = await place(direct);
    const subscription = await consume(start(server, { endpoint: proxy.url, leaseMs: 4_000 }), queue);
    const cut = expect(subscription.receive(10, signal())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await sleep(300);
    await proxy.cut();
    await cut;
    await direct.send([message('m', work(queue))], signal());
    // The server may give it to the poll that was cut first.
    const deliveries = await take(subscription, 1);
    expect(idsOf(deliveries)).toEqual(['m']);
    await settleAll(subscription, deliveries);
  });

  containerTest(
    'while nothing can be reached each receive rejects as UNAVAILABLE, and what is held stays held',
    async () => {
      const proxy = await openProxy(server);
      const direct = start(server);
      const queue = await place(direct);
      const subscription = await consume(start(server, { endpoint: proxy.url }), queue);
      await sendAll(direct, many(12, work(queue)));
      const held = await take(subscription, 12);
      await proxy.refuse(true);
      for (let time = 0; time < 3; time += 1) {
        await expect(subscription.receive(10, signal())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      }
      await expect(subscription.extend(held)).rejects.toMatchObject({ retryable: true });
      expect((await codesOf(settleAll(subscription, held))).every((code) => code.endsWith(' UNAVAILABLE'))).toBe(true);
      await proxy.refuse(false);
      expect((await subscription.extend(held)).every((lease) => lease > Date.now())).toBe(true);
      await settleAll(subscription, held);
      expect(await direct.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
    },
  );

  containerTest('an answer that gets lost hides what it brought for one lease, and loses nothing', async () => {
    const proxy = await openProxy(server);
    const direct = start(server);
    const queue = await place(direct);
    const options = { endpoint: proxy.url, leaseMs: 4_000, requestTimeoutMs: 1_000 };
    const subscription = await consume(start(server, options), queue);
    await proxy.loseAnswers(true);
    await sendAll(direct, many(5, work(queue)));
    await expect(subscription.receive(10, signal())).rejects.toMatchObject({ retryable: true });
    await proxy.loseAnswers(false);
    const lostAt = Date.now();
    const deliveries = await take(subscription, 5, 12_000);
    expect(Date.now() - lostAt).toBeLessThan(7_000);
    expect(idsOf(deliveries)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4']);
    await settleAll(subscription, deliveries);
    expect(await direct.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  containerTest('a settlement whose answer gets lost may be tried again', async () => {
    const proxy = await openProxy(server);
    const direct = start(server);
    const queue = await place(direct);
    const subscription = await consume(start(server, { endpoint: proxy.url, requestTimeoutMs: 1_000 }), queue);
    await sendAll(direct, many(3, work(queue)));
    const deliveries = await take(subscription, 3);
    await proxy.loseAnswers(true);
    const codes = await codesOf(settleAll(subscription, deliveries));
    expect(codes).toHaveLength(3);
    expect(codes.every((code) => / (TIMEOUT|UNAVAILABLE)$/.test(code))).toBe(true);
    await proxy.loseAnswers(false);
    // The first try may meet the connection that closes now.
    await eventually(async () => {
      const again = await codesOf(settleAll(subscription, deliveries));
      expect(again.filter((code) => !code.endsWith(' LEASE_LOST'))).toEqual([]);
    });
    expect(await direct.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  containerTest('close ends by its deadline while nothing answers, and the lease lets go', async () => {
    const proxy = await openProxy(server);
    const direct = start(server);
    const queue = await place(direct);
    const subscription = await consume(start(server, { endpoint: proxy.url, leaseMs: 4_000 }), queue);
    await sendAll(direct, many(6, work(queue)));
    await take(subscription, 6);
    await proxy.blackHole(true);
    const before = Date.now();
    await subscription.close(Date.now() + 700);
    expect(Date.now() - before).toBeLessThan(2_000);
    const others = await take(await consume(direct, queue), 6, 10_000);
    expect(idsOf(others)).toHaveLength(6);
  });

  containerTest('nothing is lost or settled twice while connections break again and again', async () => {
    const proxy = await openProxy(server);
    const direct = start(server);
    const queue = await place(direct);
    const subscription = await consume(start(server, { endpoint: proxy.url, leaseMs: 3_000 }), queue);
    const total = 300;
    await sendAll(direct, many(total, work(queue)));
    const handled = new Set<string>();
    const settled = new Set<string>();
    const again: string[] = [];
    const breaking = (async (): Promise<void> => {
      for (let time = 0; time < 10; time += 1) {
        await sleep(300);
        await proxy.cut();
      }
    })();
    const until = Date.now() + 30_000;
    while (Date.now() < until && (handled.size < total || (await left(direct, queue)) > 0)) {
      const some = await subscription.receive(20, signal(1_000)).catch(() => []);
      for (const delivery of some) {
        handled.add(idOf(delivery));
        if (settled.has(idOf(delivery))) again.push(idOf(delivery));
      }
      const failed = new Set((await codesOf(settleAll(subscription, some))).map((code) => Number(code.split(' ')[0])));
      for (const [index, delivery] of some.entries()) if (!failed.has(index)) settled.add(idOf(delivery));
    }
    await breaking;
    expect(handled.size).toBe(total);
    expect(await left(direct, queue)).toBe(0);
    expect(again).toEqual([]);
  });
});
