import type { BatchError, Delivery } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import {
  brokers,
  containing,
  consume,
  eventually,
  idOf,
  message,
  place,
  proxied,
  settleAll,
  signal,
  start,
  take,
  work,
} from './broker.ts';

const codesOf = async (settling: Promise<void>): Promise<readonly string[]> =>
  settling.then(
    () => [],
    (error: unknown) => (error as BatchError).failures.map((failure) => `${failure.index} ${failure.error.code}`),
  );

describe.each(brokers())('consume, $name', (broker) => {
  const many = (count: number, target: Parameters<typeof message>[1]) =>
    Array.from({ length: count }, (_, index) => message(`m${index}`, target));

  test('subscribe to a missing queue is NOT_FOUND and names it', async () => {
    const driver = start({ url: broker.url });
    await expect(consume(driver, { name: 'no-such-queue', ordered: false, bindings: [] })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: containing("'no-such-queue'"),
    });
    await expect(
      consume(driver, { name: 'no-such-queue', ordered: false, bindings: [] }, 'dead'),
    ).rejects.toMatchObject({ code: 'NOT_FOUND', message: containing('no-such-queue.dead') });
  });

  test('settled in any order and mix, exactly the accepted ones are gone', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue);
    await driver.send(many(90, work(queue)), signal());
    const deliveries = await take(subscription, 90);
    const mixed = deliveries
      .map((delivery, index) => ({
        delivery,
        order: (index * 37) % 90,
        action: (['accept', 'release', 'accept', 'reject'] as const)[index % 4] ?? 'accept',
      }))
      .toSorted((left, right) => left.order - right.order);
    const released: string[] = [];
    const rejected: string[] = [];
    for (let from = 0; from < 90; from += 7) {
      const some = mixed.slice(from, from + 7);
      await subscription.settle(
        some.map(({ delivery, action }) =>
          action === 'reject' ? { delivery, action, reason: 'no', headers: {} } : { delivery, action },
        ),
      );
      for (const { delivery, action } of some) {
        if (action === 'release') released.push(idOf(delivery));
        if (action === 'reject') rejected.push(idOf(delivery));
      }
    }
    const again = await take(subscription, released.length);
    expect(again.map(idOf).toSorted()).toEqual([...released].toSorted());
    await settleAll(subscription, again);
    await subscription.close(Date.now() + 2_000);
    await eventually(async () =>
      expect(await driver.admin.depth(queue)).toEqual({ ready: 0, deadLettered: rejected.length }),
    );
    expect(subscription.lost).toEqual([]);
  });

  test('what is accepted behind an unfinished one is gone even when the connection dies', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue);
    await driver.send(many(50, work(queue)), signal());
    const [first, ...others] = await take(subscription, 50);
    await settleAll(subscription, others);
    await subscription.extend([first as Delivery]);
    proxy.cut();
    const again = await take(subscription, 1);
    expect(again.map(idOf)).toEqual(['m0']);
    expect(again[0]?.deliveries).toBe(2);
    await settleAll(subscription, again);
    expect((await driver.admin.depth(queue)).ready).toBe(0);
  });

  test('a slow delivery does not use up the window of the others', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue, 'work', { maxInFlight: 10 });
    await driver.send(many(200, work(queue)), signal());
    const [slow] = await take(subscription, 1);
    for (let done = 1; done < 200;) {
      const some = await take(subscription, 1);
      done += some.length;
      await settleAll(subscription, some);
    }
    await settleAll(subscription, [slow as Delivery]);
  });

  test('after a cut everything held is lost, its settlements are LEASE_LOST, and receive goes on in order', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue);
    await driver.send(many(20, work(queue)), signal());
    const held = await take(subscription, 5);
    expect(await subscription.extend(held)).toEqual(held.map(() => Number.POSITIVE_INFINITY));
    const waiting = subscription.receive(15, signal()).then(() => subscription.receive(1, signal()));
    proxy.cut();
    await expect(waiting).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(subscription.lost.flat()).toHaveLength(20);
    expect(await codesOf(subscription.settle(held.map((delivery) => ({ delivery, action: 'accept' }))))).toEqual(
      held.map((_, index) => `${index} LEASE_LOST`),
    );
    const again = await take(subscription, 20);
    expect(again.map(idOf)).toEqual(many(20, work(queue)).map(({ id }) => id));
    // The tags are the same numbers again: what the old ones settle must not be these.
    expect(await codesOf(subscription.settle([{ delivery: held[0] as Delivery, action: 'accept' }]))).toEqual([
      '0 LEASE_LOST',
    ]);
    expect(await subscription.extend([held[0] as Delivery, again[0] as Delivery])).toEqual([
      0,
      Number.POSITIVE_INFINITY,
    ]);
    await settleAll(subscription, again);
    expect(await codesOf(subscription.settle([{ delivery: again[0] as Delivery, action: 'accept' }]))).toEqual([
      '0 LEASE_LOST',
    ]);
  });

  test('a consumer that the broker cancels is noticed; a queue that comes back is consumed again', async () => {
    const driver = start({ url: broker.url });
    const { queue, topology } = await place(driver);
    const subscription = await consume(driver, queue);
    await driver.send(many(3, work(queue)), signal());
    await take(subscription, 2);
    await take(subscription, 1);
    const waiting = subscription.receive(1, signal()).then(
      () => undefined,
      (error: unknown) => error,
    );
    const channel = await (await driver.connection()).createChannel();
    await channel.deleteQueue(queue.name);
    await channel.close();
    expect(await waiting).toMatchObject({ code: 'UNAVAILABLE', message: containing('cancelled') });
    expect(subscription.lost.flat()).toHaveLength(3);
    await expect(subscription.receive(1, signal())).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await driver.admin.apply(topology, signal());
    await driver.send([message('new', work(queue))], signal());
    expect((await take(subscription, 1)).map(idOf)).toEqual(['new']);
  });

  test('an empty receive ends when its signal aborts, also while it reconnects', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue);
    expect(await subscription.receive(1, signal(100))).toEqual([]);
    proxy.cut();
    await eventually(() => expect(proxy.connections()).toBe(0));
    proxy.freeze();
    const begun = Date.now();
    expect(await subscription.receive(1, signal(200))).toEqual([]);
    expect(Date.now() - begun).toBeLessThan(1_000);
    proxy.thaw();
    await driver.send([message('1', work(queue))], signal());
    expect((await take(subscription, 1)).map(idOf)).toEqual(['1']);
  });

  test('release puts a message back to the front', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue, 'work', { maxInFlight: 1 });
    await driver.send(many(3, work(queue)), signal());
    await settleAll(subscription, await take(subscription, 1), 'release');
    expect((await take(subscription, 1)).map(idOf)).toEqual(['m0']);
  });

  test('resize changes the window of an unordered consumer and gives back what nobody received', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue, 'work', { maxInFlight: 1 });
    await driver.send(many(100, work(queue)), signal());
    const readyIs = (ready: number): Promise<void> =>
      eventually(async () => expect((await driver.admin.depth(queue)).ready).toBe(ready));
    await readyIs(99);
    await subscription.resize(40);
    await readyIs(60);
    await subscription.resize(10);
    await readyIs(90);
    const held = await take(subscription, 5);
    await subscription.resize(0);
    await readyIs(95);
    expect(await subscription.receive(10, signal(200))).toEqual([]);
    await settleAll(subscription, held);
    await subscription.resize(200);
    const deliveries = await take(subscription, 95);
    expect(new Set(deliveries.map(idOf)).size).toBe(95);
    await settleAll(subscription, deliveries);
    expect(subscription.lost).toEqual([]);
  });

  test('an ordered queue keeps its order through crashes, releases and windows of any size', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver, true);
    await driver.send(many(300, work(queue)), signal());
    const done: string[] = [];
    const proxy = await proxied(broker.url);
    const other = start({ url: proxy.url });
    const subscription = await consume(other, queue, 'work', { maxInFlight: 1 });
    // A window of 1 that is lost while the broker has 299 others back would put the one behind them.
    for (const window of [1, 40, 1, 10, 1, 200, 1, 1]) {
      await subscription.resize(window);
      const held = await take(subscription, Math.min(window, 25));
      expect(held.map(idOf)).toEqual(
        many(300, work(queue))
          .slice(done.length, done.length + held.length)
          .map(({ id }) => id),
      );
      const accepted = held.slice(0, Math.ceil(held.length / 2));
      await settleAll(subscription, accepted);
      done.push(...accepted.map(idOf));
      const released = held.slice(accepted.length);
      await settleAll(subscription, released, 'release');
      if (released.length > 0) {
        expect((await take(subscription, released.length)).map(idOf)).toEqual(released.map(idOf));
      }
      // A round trip: what is accepted has arrived.
      await subscription.extend([]);
      proxy.cut();
      await eventually(async () => expect(await subscription.extend([])).toEqual([]));
    }
    await subscription.resize(500);
    const rest = await take(subscription, 300 - done.length);
    expect([...done, ...rest.map(idOf)]).toEqual(many(300, work(queue)).map(({ id }) => id));
    await settleAll(subscription, rest);
  });

  test('on an ordered queue only what was alone when its process died is charged beyond 3', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver, true);
    await driver.send(many(30, work(queue)), signal());
    const proxy = await proxied(broker.url);
    const subscription = await consume(start({ url: proxy.url }), queue, 'work', { maxInFlight: 1 });
    const counts: number[] = [];
    for (let crash = 0; crash < 11; crash += 1) {
      const [poison] = await take(subscription, 1);
      expect(poison && idOf(poison)).toBe('m0');
      counts.push(poison?.deliveries ?? 0);
      proxy.cut();
      await eventually(() => expect(subscription.lost).toHaveLength(crash + 1));
    }
    expect(counts).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    await settleAll(subscription, await take(subscription, 1));
    for (let index = 1; index < 30; index += 1) {
      const [innocent] = await take(subscription, 1);
      expect(innocent?.deliveries).toBe(3);
      await settleAll(subscription, [innocent as Delivery]);
    }
  });

  test('close of an ordered consumer flushes what was settled and gives the rest back in order', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver, true);
    const subscription = await driver.subscribe(queue, 'work', { maxInFlight: 50, onLost: () => undefined });
    const all = many(1_600, work(queue));
    for (let from = 0; from < all.length; from += 400) await driver.send(all.slice(from, from + 400), signal());
    const held = await take(subscription, 600);
    const accepted = held.filter((_, index) => index < 500 || index === 550);
    // Others are on their way when it closes: those that took the places of the accepted ones.
    await settleAll(subscription, accepted);
    await subscription.close(Date.now() + 2_000);
    const next = await consume(driver, queue, 'work', { maxInFlight: 100 });
    const rest: Delivery[] = [];
    while (rest.length < 1_099) {
      const some = await next.receive(500, signal());
      rest.push(...some);
      await settleAll(next, some);
    }
    expect(rest.map(idOf)).toEqual(all.map(({ id }) => id).filter((id) => !accepted.some((each) => idOf(each) === id)));
  });

  test('close of an unordered consumer gives the rest back without counting it where the broker allows', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const subscription = await driver.subscribe(queue, 'work', { maxInFlight: 50, onLost: () => undefined });
    await driver.send(many(60, work(queue)), signal());
    await settleAll(subscription, await take(subscription, 20));
    await subscription.close(Date.now() + 2_000);
    const rest = await take(await consume(driver, queue), 40);
    expect(rest.map(idOf).toSorted()).toEqual(
      many(60, work(queue))
        .slice(20)
        .map(({ id }) => id)
        .toSorted(),
    );
    // 4.3 counts only what a crash ended; of the others it tells that there was a hand-out, not how many.
    const handedOut = rest.filter(({ deliveries }) => deliveries > 1);
    expect(handedOut.length).toBeGreaterThanOrEqual(30);
    expect(rest.every(({ deliveries }) => deliveries <= 2)).toBe(true);
  });

  test('an ordered queue is consumed by one process at a time, the next one goes on in order', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver, true);
    const proxy = await proxied(broker.url);
    const other = start({ url: proxy.url });
    const first = await consume(other, queue);
    const second = await consume(driver, queue);
    await driver.send(many(30, work(queue)), signal());
    const held = await take(first, 10);
    expect(await second.receive(10, signal(300))).toEqual([]);
    await settleAll(first, held.slice(0, 4));
    await first.extend(held);
    proxy.refuse(true);
    proxy.cut();
    const rest = await take(second, 26);
    expect(rest.map(idOf)).toEqual(
      many(30, work(queue))
        .slice(4)
        .map(({ id }) => id),
    );
    await settleAll(second, rest);
  });

  test('deliveries counts crashes', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const { queue } = await place(driver);
    await driver.send([message('1', work(queue))], signal());
    const subscription = await consume(driver, queue);
    for (let round = 1; round <= 4; round += 1) {
      const [delivery] = await take(subscription, 1);
      expect(delivery?.deliveries).toBe(round);
      if (round === 4) await settleAll(subscription, [delivery as Delivery]);
      else proxy.cut();
      await eventually(() => expect(subscription.lost).toHaveLength(Math.min(round, 3)));
    }
  });

  test('foreign messages come as they are', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const channel = await (await driver.connection()).createChannel();
    const headers = {
      Number: 7,
      yes: true,
      when: { '!': 'timestamp', value: 1_700_000_000 },
      'X-Mine': 'dropped',
      list: [1, 'a'],
      bytes: Buffer.from('raw'),
      none: null,
      'ce-Type': 'a.b',
    };
    channel.sendToQueue(queue.name, Buffer.from([0, 255]), { headers });
    channel.sendToQueue(queue.name, Buffer.alloc(0), {});
    const subscription = await consume(driver, queue);
    const [first, second] = await take(subscription, 2);
    expect(first?.headers).toEqual({
      number: '7',
      yes: 'true',
      when: '2023-11-14T22:13:20.000Z',
      list: '[1,"a"]',
      bytes: 'raw',
      'ce-type': 'a.b',
    });
    expect([...(first?.body ?? [])]).toEqual([0, 255]);
    expect(first?.contentType).toBe('application/octet-stream');
    expect(second).toMatchObject({ headers: {}, deliveries: 1 });
    expect(first?.position).toMatch(/^[0-9a-f]{12}@1$/);
    expect(second?.position).not.toBe(first?.position);
    await channel.close();
    await settleAll(subscription, [first as Delivery, second as Delivery]);
  });
});
