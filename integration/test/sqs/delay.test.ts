import { SendMessageCommand } from '@aws-sdk/client-sqs';
import type { Delivery, Queue } from '@waybill/core/driver';
import type { SqsDriver } from '@waybill/sqs';
import { describe, expect, test } from 'vitest';
import {
  consume,
  idOf,
  many,
  message,
  place,
  sendAll,
  servers,
  settleAll,
  signal,
  start,
  take,
  work,
} from './consuming-kit.ts';

const LATE_MS = 2_500;

/** A copy as it comes out of the delay queue after 15 minutes, when that is not long enough. */
async function storeEarly(driver: SqsDriver, queue: Queue, { due, key }: { due: number; key?: string }): Promise<void> {
  const name = `${queue.name.replaceAll('.', '_')}_delay`;
  const attributes = { type: 'order.placed', 'content-type': 'application/json', due: String(due), 'x-id': 'early' };
  const { client } = driver;
  const QueueUrl = await queueUrl(driver, name);
  await client.send(
    new SendMessageCommand({
      QueueUrl,
      MessageBody: '{"id":"early"}',
      MessageAttributes: Object.fromEntries(
        Object.entries(key === undefined ? attributes : { ...attributes, key }).map(([attribute, StringValue]) => [
          attribute,
          { DataType: 'String', StringValue },
        ]),
      ),
    }),
  );
}

async function queueUrl({ client }: SqsDriver, name: string): Promise<string> {
  const { GetQueueUrlCommand } = await import('@aws-sdk/client-sqs');
  return (await client.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl ?? '';
}

function expectInTime(received: readonly (readonly [Delivery, number])[], due: (id: string) => number): void {
  for (const [delivery, at] of received) {
    expect(at - due(idOf(delivery))).toBeGreaterThanOrEqual(0);
    expect(at - due(idOf(delivery))).toBeLessThan(LATE_MS);
  }
}

describe.each(servers())('delay, $name', (server) => {
  test.each([false, true])('arrives at its time, never early, in any order (ordered: %s)', async (ordered) => {
    const driver = start(server);
    const queue = await place(driver, ordered);
    const subscription = await consume(driver, queue);
    const now = Date.now();
    const due = (id: string): number => now + 1_000 + (Number(id.slice(1)) % 4) * 900;
    await sendAll(
      driver,
      many(12, work(queue), (index) => ({
        notBefore: due(`m${index}`),
        ...(ordered ? { key: `k${index}` } : {}),
      })),
    );
    const received: (readonly [Delivery, number])[] = [];
    while (received.length < 12) {
      const some = await subscription.receive(100, signal());
      expect(some.length).toBeGreaterThan(0);
      received.push(...some.map((delivery) => [delivery, Date.now()] as const));
      await settleAll(subscription, some);
    }
    expectInTime(received, due);
    expect(new Set(received.map(([delivery]) => idOf(delivery))).size).toBe(12);
    if (ordered) for (const [delivery] of received) expect(delivery.key).toBe(`k${idOf(delivery).slice(1)}`);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0, delayed: 0 });
  });

  test.each([false, true])(
    'what comes from the delay queue too early is delayed again (ordered: %s)',
    async (ordered) => {
      const driver = start(server);
      const queue = await place(driver, ordered);
      const subscription = await consume(driver, queue);
      const due = Date.now() + 3_500;
      await storeEarly(driver, queue, { due, ...(ordered ? { key: 'k' } : {}) });
      const [delivery] = await take(subscription, 1, 15_000);
      expectInTime(delivery === undefined ? [] : [[delivery, Date.now()]], () => due);
      expect(delivery).toMatchObject({ deliveries: 1, contentType: 'application/json', headers: { 'x-id': 'early' } });
      expect(delivery?.headers).toEqual({ 'x-id': 'early' });
      expect(delivery?.key).toBe(ordered ? 'k' : undefined);
      expect(Buffer.from(delivery?.body ?? []).toString()).toBe('{"id":"early"}');
      await settleAll(subscription, delivery === undefined ? [] : [delivery]);
      expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0, delayed: 0 });
    },
  );

  test('what is due goes back to where it came from when it is released, and comes again', async () => {
    const driver = start(server);
    const queue = await place(driver);
    const subscription = await consume(driver, queue);
    await storeEarly(driver, queue, { due: Date.now() });
    const deliveries = await take(subscription, 1);
    expect((await subscription.extend(deliveries)).every((lease) => lease > 0)).toBe(true);
    await settleAll(subscription, deliveries, 'release');
    const again = await take(subscription, 1);
    expect(again[0]).toMatchObject({ deliveries: 2 });
    await settleAll(subscription, again);
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, inFlight: 0, delayed: 0 });
  });

  test('a delay longer than SQS knows waits in the delay queue, not in the work queue', async () => {
    const driver = start(server);
    const queue = await place(driver);
    await driver.send([message('long', work(queue), { notBefore: Date.now() + 3_600_000 })], signal());
    expect(await driver.admin.depth(queue)).toMatchObject({ ready: 0, delayed: 1 });
    const subscription = await consume(driver, queue);
    expect(await subscription.receive(10, signal(1_500))).toEqual([]);
  });

  test('what was delayed joins its key in an ordered queue: nobody else holds the key meanwhile', async () => {
    const driver = start(server);
    const queue = await place(driver, true);
    const [first, second] = [await consume(driver, queue), await consume(start(server), queue)];
    await driver.send([message('m0', work(queue), { key: 'k' })], signal());
    const held = await take(first, 1);
    await storeEarly(driver, queue, { due: Date.now(), key: 'k' });
    expect(await second.receive(10, signal(2_000))).toEqual([]);
    await settleAll(first, held);
    const other = await Promise.race([take(second, 1), take(first, 1)]);
    expect(other.map((delivery) => idOf(delivery))).toEqual(['early']);
  });
});
