import { describe, expect, test } from 'vitest';
import {
  brokers,
  consume,
  eventually,
  idOf,
  message,
  place,
  settleAll,
  signal,
  start,
  take,
  unique,
  work,
} from './broker.ts';

describe.each(brokers())('delay, $name', (broker) => {
  test('nothing comes early, and late by a 16th or 64 ms and what the machine needs, however it was sent', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue);
    const delays = [7_000, 5_000, 2_500, 1_137, 1_000, 700, 400, 200, 100, 50, 10, 1, 0, -5_000];
    const sentAt = Date.now();
    // Long before short: with a lifetime a message in one queue the short ones would wait for the long ones.
    await driver.send(
      delays.map((delay) => message(String(delay), work(queue), { notBefore: sentAt + delay })),
      signal(),
    );
    const late = new Map<number, number>();
    while (late.size < delays.length) {
      const [delivery] = await take(subscription, 1);
      const delay = Number(idOf(delivery as never));
      late.set(delay, Date.now() - sentAt - delay);
      await settleAll(subscription, [delivery as never]);
    }
    for (const [delay, ms] of late) {
      if (delay > 0) expect([delay, ms >= 0]).toEqual([delay, true]);
      if (delay > 0) expect([delay, ms < Math.max(delay / 16, 64) + 1_000]).toEqual([delay, true]);
    }
  }, 20_000);

  test('what was delayed carries no trace of it, and its deliveries start at 1', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue);
    await driver.send(
      [
        message('1', work(queue), {
          notBefore: Date.now() + 300,
          headers: { waybill: '{}' },
          body: Buffer.from('ü\0'),
        }),
      ],
      signal(),
    );
    const [delivery] = await take(subscription, 1);
    expect(delivery).toMatchObject({ headers: { waybill: '{}' }, deliveries: 1, contentType: 'application/json' });
    expect(Object.keys(delivery?.headers ?? {})).toEqual(['waybill']);
    expect(Buffer.from(delivery?.body ?? []).toString()).toBe('ü\0');
    expect(delivery).not.toHaveProperty('brokerReason');
    await settleAll(subscription, [delivery as never]);
  });

  test('queues whose names end alike get their own', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const other = { ...queue, name: `eu.${queue.name}`, bindings: [] };
    await driver.admin.apply({ topics: [], queues: [other] }, signal());
    await driver.send(
      [
        message('1', work(queue), { notBefore: Date.now() + 100 }),
        message('2', work(other), { notBefore: Date.now() + 100 }),
      ],
      signal(),
    );
    await eventually(async () => {
      expect((await driver.admin.depth(queue)).ready).toBe(1);
      expect((await driver.admin.depth(other)).ready).toBe(1);
    });
    const channel = await (await driver.connection()).createChannel();
    await channel.deleteQueue(other.name);
    await channel.deleteQueue(`${other.name}.dead`);
    await channel.close();
  });

  test('a deleted queue with delayed messages delays nobody, and loses nothing', async () => {
    const driver = start({ url: broker.url });
    const gone = await place(driver);
    const { queue } = await place(driver);
    const channel = await (await driver.connection()).createChannel();
    const before = (await channel.checkQueue('waybill.undelivered')).messageCount;
    const notBefore = Date.now() + 1_500;
    await driver.send(
      Array.from({ length: 100 }, (_, index) => message(`gone${index}`, work(gone.queue), { notBefore })),
      signal(),
    );
    await channel.deleteQueue(gone.queue.name);
    await driver.send(
      Array.from({ length: 50 }, (_, index) => message(`ours${index}`, work(queue), { notBefore: notBefore + 5 })),
      signal(),
    );
    const subscription = await consume(driver, queue);
    const deliveries = await take(subscription, 50);
    expect(Date.now() - notBefore).toBeGreaterThanOrEqual(0);
    expect(Date.now() - notBefore).toBeLessThan(1_000);
    await settleAll(subscription, deliveries);
    await eventually(async () =>
      expect((await channel.checkQueue('waybill.undelivered')).messageCount).toBe(before + 100),
    );
    await channel.purgeQueue('waybill.undelivered');
    await channel.close();
  });

  test('a delayed send to a missing queue is NOT_FOUND at once', async () => {
    const driver = start({ url: broker.url });
    await place(driver);
    const sending = driver.send(
      [message('1', { queue: unique('missing'), lane: 'work' }, { notBefore: Date.now() + 60_000 })],
      signal(),
    );
    await expect(sending).rejects.toMatchObject({ failures: [{ index: 0, error: { code: 'NOT_FOUND' } }] });
  });

  test.runIf(broker.own !== undefined)(
    'delayed messages survive a restart of the broker and come not before their time',
    async () => {
      const own = await broker.own?.();
      const driver = start({ url: own?.url ?? '' });
      const { queue } = await place(driver);
      const notBefore = Date.now() + 9_000;
      await driver.send(
        Array.from({ length: 20 }, (_, index) => message(`m${index}`, work(queue), { notBefore })),
        signal(),
      );
      await own?.restart();
      const subscription = await eventually(() => consume(driver, queue), 40_000);
      const deliveries = await take(subscription, 20, 40_000);
      expect(Date.now()).toBeGreaterThanOrEqual(notBefore);
      expect(new Set(deliveries.map(idOf)).size).toBe(20);
      await settleAll(subscription, deliveries);
    },
    90_000,
  );

  test('a burst of 5,000 is late by its own weight only', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue, 'work', { maxInFlight: 2_000 });
    const begun = Date.now();
    const due = new Map<string, number>();
    for (let batch = 0; batch < 10; batch += 1) {
      const notBefore = Date.now() + 3_000;
      const messages = Array.from({ length: 500 }, (_, index) =>
        message(`${batch}-${index}`, work(queue), { notBefore }),
      );
      for (const { id } of messages) due.set(id, notBefore);
      await driver.send(messages, signal());
    }
    const published = Date.now() - begun;
    const late: number[] = [];
    while (late.length < 5_000) {
      const some = await subscription.receive(1_000, signal());
      for (const delivery of some) late.push(Date.now() - (due.get(idOf(delivery)) ?? 0));
      await settleAll(subscription, some);
    }
    late.sort((left, right) => left - right);
    console.info(
      `${broker.name}: 5,000 published in ${published} ms, late by ${late[0]}/${late[2_500]}/${late.at(-1)} ms (least, median, most)`,
    );
    expect(late[0]).toBeGreaterThanOrEqual(0);
    expect(late.at(-1)).toBeLessThan(15_000);
  }, 30_000);
});
