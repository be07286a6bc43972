import type { Delivery, Page, Queue } from '@waybill/core/driver';
import type { RabbitmqDriver } from '@waybill/rabbitmq';
import { describe, expect, test } from 'vitest';
import {
  brokers,
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

async function listAll(driver: RabbitmqDriver, queue: Queue, pageSize: number): Promise<Delivery[]> {
  const letters: Delivery[] = [];
  for (let after: string | undefined, first = true; first || after !== undefined; first = false) {
    const page: Page = await driver.browse(queue, after, pageSize);
    letters.push(...page.letters);
    after = page.after;
  }
  return letters;
}

async function fill(driver: RabbitmqDriver, queue: Queue, count: number): Promise<readonly string[]> {
  const batch = Array.from({ length: count }, (_, index) =>
    message(`d${index}`, { queue: queue.name, lane: 'dead' }, { headers: { waybill: `{"n":${index}}` } }),
  );
  await driver.send(batch, signal());
  return batch.map(({ id }) => id);
}

describe.each(brokers())('dead lane, $name', (broker) => {
  test('a listing shows every letter in order, takes none, and says where it ends', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    expect(await driver.browse(queue, undefined, 10)).toEqual({ letters: [] });
    const ids = await fill(driver, queue, 230);
    for (const pageSize of [1_000, 100, 230, 115]) {
      const letters = await listAll(driver, queue, pageSize);
      expect(letters.map(idOf)).toEqual(ids);
      expect(letters[7]?.headers).toEqual({ waybill: '{"n":7}' });
      expect(await driver.admin.depth(queue)).toEqual({ ready: 0, deadLettered: 230 });
    }
  });

  test('two processes list at the same time, ten times each, and see all letters every time', async () => {
    const drivers = [start({ url: broker.url }), start({ url: broker.url })];
    const [first] = drivers as [RabbitmqDriver];
    const { queue } = await place(first);
    const ids = await fill(first, queue, 310);
    await Promise.all(
      drivers.map(async (driver) => {
        for (let turn = 0; turn < 10; turn += 1) expect((await listAll(driver, queue, 100)).map(idOf)).toEqual(ids);
      }),
    );
    expect((await first.admin.depth(queue)).deadLettered).toBe(310);
    // 30 times over the limit that 4.0 has of itself.
    for (let turn = 0; turn < 12; turn += 1) expect(await listAll(first, queue, 400)).toHaveLength(310);
  }, 60_000);

  test('a listing that is ended early, or left, gives its letters back in order', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const ids = await fill(driver, queue, 50);
    const page = await driver.browse(queue, undefined, 20);
    expect(page?.letters).toHaveLength(20);
    expect(await driver.browse(queue, page?.after, 0)).toEqual({ letters: [] });
    await expect(driver.browse(queue, page?.after, 20)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect((await listAll(driver, queue, 20)).map(idOf)).toEqual(ids);
  });

  test('a listing goes on after a pause, without repeating and without missing', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const ids = await fill(driver, queue, 50);
    const first = await driver.browse(queue, undefined, 20);
    // Somebody else takes the lane meanwhile: an idle listing of the same process lets go at once.
    const redrive = await consume(driver, queue, 'dead');
    const taken = await take(redrive, 30);
    await settleAll(redrive, taken.slice(0, 5));
    await redrive.close(Date.now() + 2_000);
    const second = await driver.browse(queue, first?.after, 100);
    expect([...(first?.letters ?? []), ...(second?.letters ?? [])].map(idOf).toSorted()).toEqual([...ids].toSorted());
    expect(second?.after).toBeUndefined();
  });

  test('a listing that is left in another process frees the lane after 10 s', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    await fill(driver, queue, 30);
    await start({ url: broker.url }).browse(queue, undefined, 10);
    const begun = Date.now();
    expect(await listAll(driver, queue, 100)).toHaveLength(30);
    expect(Date.now() - begun).toBeLessThan(12_000);
  }, 20_000);

  test('a lister whose connection dies keeps nobody out', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    await fill(driver, queue, 30);
    const proxy = await proxied(broker.url);
    const other = start({ url: proxy.url });
    const page = await other.browse(queue, undefined, 10);
    proxy.cut();
    await eventually(async () => expect(await listAll(driver, queue, 100)).toHaveLength(30));
    const rest = await eventually(() => other.browse(queue, page?.after, 100));
    expect(rest.letters).toHaveLength(20);
  });

  test('a redrive and a listing do not take from each other', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const ids = await fill(driver, queue, 40);
    const redrive = await consume(driver, queue, 'dead');
    const held = await take(redrive, 40);
    const listing = listAll(start({ url: broker.url }), queue, 100);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await settleAll(redrive, held.slice(0, 10));
    await redrive.close(Date.now() + 2_000);
    expect((await listing).map(idOf).toSorted()).toEqual(ids.slice(10).toSorted());
  });

  test('a rejected delivery is a dead letter with the reason of the broker, also after a delay', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue);
    await driver.send(
      [message('1', work(queue)), message('2', work(queue), { notBefore: Date.now() + 200, headers: { a: 'b' } })],
      signal(),
    );
    for (const delivery of await take(subscription, 2)) {
      await subscription.settle([{ delivery, action: 'reject', reason: 'invalid', headers: {} }]);
    }
    const letters = await eventually(async () => {
      const all = await listAll(driver, queue, 10);
      expect(all).toHaveLength(2);
      return all;
    });
    expect(letters.map(({ brokerReason }) => brokerReason)).toEqual(['rejected', 'rejected']);
    expect(letters[1]?.headers).toEqual({ a: 'b' });
    const redrive = await consume(driver, queue, 'dead');
    const [letter, ...others] = await take(redrive, 2);
    expect(letter?.brokerReason).toBe('rejected');
    await settleAll(redrive, [letter as Delivery, ...others]);
  });

  test('what crashes its consumer 101 times is a dead letter by the limit of the broker, and nothing is dropped', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    await driver.send([message('1', work(queue))], signal());
    const channel = async (): Promise<boolean> => {
      const one = await (await driver.connection()).createChannel();
      const got = await one.get(queue.name);
      await one.close();
      return got !== false;
    };
    let hands = 0;
    for (let misses = 0; misses < 40;) {
      if (await channel()) hands += 1;
      else {
        misses += 1;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    expect(hands).toBe(101);
    const [letter] = await listAll(driver, queue, 10);
    expect(letter?.brokerReason).toBe('delivery_limit');
  });

  test('purge empties one lane, and ends a listing of ours first', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    await fill(driver, queue, 20);
    await driver.send([message('w', work(queue))], signal());
    await driver.browse(queue, undefined, 5);
    await driver.admin.purge(queue, 'dead');
    expect(await driver.admin.depth(queue)).toEqual({ ready: 1, deadLettered: 0 });
    await driver.admin.purge(queue, 'work');
    expect(await driver.admin.depth(queue)).toEqual({ ready: 0, deadLettered: 0 });
  });
});
