import { GetQueueUrlCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { Delivery, Page, Queue } from '@waybill/core/driver';
import type { SqsDriver } from '@waybill/sqs';
import { describe, expect, test } from 'vitest';
import {
  consume,
  dead,
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

/** Pages until the last. */
async function listAll(driver: SqsDriver, queue: Queue, max: number): Promise<readonly Delivery[]> {
  const letters: Delivery[] = [];
  let page: Page = { letters: [] };
  do {
    page = await driver.browse(queue, page.after, max);
    expect(page.letters.length).toBeLessThanOrEqual(max);
    letters.push(...page.letters);
  } while (page.after !== undefined);
  return letters;
}

const deadNameOf = ({ name }: Queue): string => `${name.replaceAll('.', '_')}_dead`;
const idsOf = (deliveries: readonly Delivery[]): readonly string[] => deliveries.map((delivery) => idOf(delivery));
const names = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `m${index}`).toSorted();

describe.each(servers())('dead lane, $name', (server) => {
  test.each([false, true])('lists all letters, a page at a time, and takes none (ordered: %s)', async (ordered) => {
    const driver = start(server);
    const queue = await place(driver, ordered);
    await sendAll(
      driver,
      many(45, dead(queue), (index) => (ordered ? { key: `k${index % 2}` } : {})),
    );
    for (let time = 0; time < 2; time += 1) {
      const letters = await listAll(driver, queue, 20);
      expect(idsOf(letters).toSorted()).toEqual(names(45));
      if (ordered) for (const letter of letters) expect(letter.key).toBe(`k${Number(idOf(letter).slice(1)) % 2}`);
    }
    expect(await driver.admin.depth(queue)).toMatchObject({ deadLettered: 45 });
    const redriving = await consume(driver, queue, 'dead');
    const letters = await take(redriving, 45);
    expect(idsOf(letters).toSorted()).toEqual(names(45));
    await settleAll(redriving, letters);
    expect(await driver.admin.depth(queue)).toMatchObject({ deadLettered: 0 });
  });

  test('a lane without letters is one page without any', async () => {
    const driver = start(server);
    expect(await driver.browse(await place(driver), undefined, 10)).toEqual({ letters: [] });
  });

  test('a listing that ends early gives its letters back at once, and cannot be continued', async () => {
    const driver = start(server);
    const queue = await place(driver);
    await sendAll(driver, many(20, dead(queue)));
    const page = await driver.browse(queue, undefined, 5);
    expect(page.letters).toHaveLength(5);
    expect(await driver.browse(queue, page.after, 0)).toEqual({ letters: [] });
    expect(idsOf(await listAll(driver, queue, 50)).toSorted()).toEqual(names(20));
    await expect(driver.browse(queue, page.after, 5)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('a listing that takes longer than its leases lists each letter once, and ends', async () => {
    const driver = start(server, { leaseMs: 2_000 });
    const queue = await place(driver);
    await sendAll(driver, many(30, dead(queue)));
    const letters: Delivery[] = [];
    let page: Page = { letters: [] };
    do {
      page = await driver.browse(queue, page.after, 10);
      letters.push(...page.letters);
      await new Promise((resolve) => setTimeout(resolve, 1_200));
    } while (page.after !== undefined);
    expect(idsOf(letters).toSorted()).toEqual(names(30));
  });

  test('what a driver listed and did not go on with is given back when it closes', async () => {
    const driver = start(server);
    const queue = await place(driver);
    await sendAll(driver, many(8, dead(queue)));
    const closing = start(server);
    expect((await closing.browse(queue, undefined, 4)).letters).toHaveLength(4);
    await closing.close(Date.now() + 3_000);
    expect(await listAll(driver, queue, 50)).toHaveLength(8);
  });

  test('letters that a subscription does not settle are back as soon as it is closed', async () => {
    const driver = start(server);
    const queue = await place(driver);
    await sendAll(driver, many(25, dead(queue)));
    const first = await consume(driver, queue, 'dead');
    const letters = await take(first, 25);
    await settleAll(first, letters.slice(0, 5));
    await first.close(Date.now() + 3_000);
    const kept = await rest(await consume(driver, queue, 'dead'), 2_000);
    expect(idsOf(kept).toSorted()).toEqual(idsOf(letters.slice(5)).toSorted());
  });

  test('a listing waits for letters that a process took which is gone', async () => {
    const driver = start(server, { leaseMs: 4_000 });
    const queue = await place(driver);
    await sendAll(driver, many(20, dead(queue)));
    // Taken by a poll, and never given back.
    const { QueueUrl } = await driver.client.send(new GetQueueUrlCommand({ QueueName: deadNameOf(queue) }));
    await driver.client.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 5, VisibilityTimeout: 3 }));
    expect(idsOf(await listAll(driver, queue, 50)).toSorted()).toEqual(names(20));
  });

  test('two that list at the same time, again and again, see every letter each', async () => {
    const drivers = [start(server), start(server)] as const;
    const queue = await place(drivers[0]);
    await sendAll(drivers[0], many(150, dead(queue)));
    await Promise.all(
      drivers.map(async (driver) => {
        for (let time = 0; time < 3; time += 1) {
          expect(idsOf(await listAll(driver, queue, 100)).toSorted()).toEqual(names(150));
        }
      }),
    );
  });

  test('a missing lane is NOT_FOUND', async () => {
    const missing = { name: 'no-such-queue', ordered: false, bindings: [] };
    await expect(start(server).browse(missing, undefined, 5)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('a work lane brings no letters, and a dead lane nothing else', async () => {
    const driver = start(server);
    const queue = await place(driver);
    await driver.send([message('w', work(queue)), message('d', dead(queue))], signal());
    expect(idsOf(await rest(await consume(driver, queue), 800))).toEqual(['w']);
    expect(idsOf(await rest(await consume(driver, queue, 'dead'), 800))).toEqual(['d']);
  });

  test('what SQS gave up itself says why', async () => {
    const driver = start(server);
    const queue = await place(driver);
    await driver.send([message('m', work(queue))], signal());
    const { client } = driver;
    const entity = queue.name.replaceAll('.', '_');
    const { QueueUrl } = await client.send(new GetQueueUrlCommand({ QueueName: entity }));
    const receive = new ReceiveMessageCommand({ QueueUrl, VisibilityTimeout: 0 });
    for (let received = 0; received < 105; received += 1) await client.send(receive);
    const letters = await listAll(driver, queue, 10);
    expect(letters).toMatchObject([{ brokerReason: 'received more than 100 times' }]);
  });
});
