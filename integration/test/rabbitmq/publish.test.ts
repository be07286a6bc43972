import { Socket } from 'node:net';
import type { BatchError, OutgoingMessage, Queue } from '@waybill/core/driver';
import type { RabbitmqDriver } from '@waybill/rabbitmq';
import { describe, expect, test, vi } from 'vitest';
import {
  afterwards,
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
  unique,
  work,
} from './broker.ts';

/** What failed, as `index CODE`. */
async function failuresOf(sending: Promise<void>): Promise<readonly string[]> {
  const error = await sending.then(
    () => undefined,
    (cause: unknown) => cause as BatchError,
  );
  if (error === undefined) return [];
  expect(error.name).toBe('BatchError');
  return error.failures.map((failure) => `${failure.index} ${failure.error.code}`);
}

async function idsIn(driver: RabbitmqDriver, queue: Queue, count: number): Promise<readonly string[]> {
  const subscription = await consume(driver, queue, 'work', { maxInFlight: 2_000 });
  const deliveries = await take(subscription, count);
  await settleAll(subscription, deliveries);
  expect((await driver.admin.depth(queue)).ready).toBe(0);
  return deliveries.map(idOf);
}

describe.each(brokers())('publish, $name', (broker) => {
  // amqplib's socket is not in its types: were it elsewhere, each message would be a write of its own.
  test('a batch takes few writes to the socket', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const batch = Array.from({ length: 500 }, (_, index) => message(`m${index}`, work(queue)));
    await driver.send(batch, signal());
    const written = [vi.spyOn(Socket.prototype, '_write'), vi.spyOn(Socket.prototype, '_writev' as '_write')];
    await driver.send(batch, signal());
    const writes = written.reduce((sum, { mock }) => sum + mock.calls.length, 0);
    for (const each of written) each.mockRestore();
    expect(writes).toBeGreaterThan(0);
    expect(writes).toBeLessThan(50);
  });

  test('a batch is stored in its order, persistent, with its properties', async () => {
    const driver = start({ url: broker.url });
    const { queue, topic } = await place(driver);
    const batch = Array.from({ length: 500 }, (_, index) =>
      message(`m${index}`, index % 2 === 0 ? { topic } : { topic }, { headers: { waybill: '{"a":1}', 'x-y': 'ü€😀' } }),
    );
    await driver.send(batch, signal());
    const subscription = await consume(driver, queue, 'work', { maxInFlight: 1_000 });
    const deliveries = await take(subscription, 500);
    expect(deliveries.map(idOf)).toEqual(batch.map(({ id }) => id));
    const [first] = deliveries;
    expect(first?.raw).toMatchObject({
      properties: { deliveryMode: 2, type: 'order.placed', messageId: 'm0', contentType: 'application/json' },
    });
    expect(first).toMatchObject({
      contentType: 'application/json',
      headers: { waybill: '{"a":1}' },
      deliveries: 1,
      leaseUntil: Number.POSITIVE_INFINITY,
      position: 'm0',
    });
    expect(first?.headers).not.toHaveProperty('x-y');
    await settleAll(subscription, deliveries);
  });

  test('bodies arrive byte for byte, from 0 bytes to the limit, and one byte more is TOO_LARGE for it alone', async () => {
    const driver = start({ url: broker.url, maxMessageBytes: 16_777_216 });
    const { queue } = await place(driver);
    const bodies = [0, 1, 2_000, 2_048, 4_088, 131_064, 131_065, 1_000_000, 16_777_216].map((size) =>
      Buffer.alloc(size, 'Zm9vYmFyAP8K7w==', 'base64'),
    );
    const subscription = await consume(driver, queue);
    for (const [index, body] of bodies.entries()) {
      await driver.send([message(`b${index}`, work(queue), { body })], signal());
      const [delivery] = await take(subscription, 1);
      expect(Buffer.compare(delivery?.body ?? Buffer.alloc(3), body)).toBe(0);
      await settleAll(subscription, [delivery as never]);
    }
    const more = message('more', work(queue), { body: new Uint8Array(16_777_217) });
    expect(
      await failuresOf(driver.send([message('1', work(queue)), more, message('2', work(queue))], signal())),
    ).toEqual(['1 TOO_LARGE']);
    expect(
      await idsIn(driver, queue, 2).catch(() => take(subscription, 2).then((deliveries) => deliveries.map(idOf))),
    ).toEqual(['1', '2']);
  });

  test('a broker with a lower limit than maxMessageBytes: TOO_LARGE for what is larger, nothing else is refused', async () => {
    const driver = start({ url: broker.url, maxMessageBytes: 20_000_000 });
    const { queue } = await place(driver);
    const failed = await failuresOf(
      driver.send([message('big', work(queue), { body: new Uint8Array(17_000_000) })], signal()),
    );
    expect(failed).toEqual(['0 TOO_LARGE']);
  });

  test('headers over 64 KiB and types over 255 bytes fail alone', async () => {
    const driver = start({ url: broker.url });
    const { queue } = await place(driver);
    const batch = [
      message('1', work(queue)),
      message('2', work(queue), { headers: { big: 'x'.repeat(66_000) } }),
      message('3', work(queue), { type: 't'.repeat(256) }),
      message('4', work(queue), { headers: { ['n'.repeat(300)]: 'x' } }),
      message('5', work(queue)),
    ];
    expect(await failuresOf(driver.send(batch, signal()))).toEqual(['1 TOO_LARGE', '2 INVALID_MESSAGE', '3 TOO_LARGE']);
    expect(await idsIn(driver, queue, 2)).toEqual(['1', '5']);
  });

  test('a missing topic or queue is NOT_FOUND for exactly its messages, also with equal ids', async () => {
    const driver = start({ url: broker.url });
    const { queue, topic } = await place(driver);
    const missing = unique('missing');
    const batch = [
      message('1', { topic }),
      message('2', { topic: missing }),
      message('same', { queue: missing, lane: 'work' }),
      message('same', work(queue)),
      message('same', { queue: missing, lane: 'dead' }),
      message('5', { queue: missing, lane: 'work' }, { notBefore: Date.now() + 1_000 }),
      message('6', work(queue)),
    ];
    expect(await failuresOf(driver.send(batch, signal()))).toEqual([
      '1 NOT_FOUND',
      '2 NOT_FOUND',
      '4 NOT_FOUND',
      '5 NOT_FOUND',
    ]);
    expect([...(await idsIn(driver, queue, 3))].toSorted()).toEqual(['1', '6', 'same']);
  });

  test('a publish to a missing exchange kills no other publish that is open', async () => {
    const driver = start({ url: broker.url });
    const { queue, topic } = await place(driver);
    const many = Array.from({ length: 400 }, (_, index) => message(`m${index}`, { topic }));
    const [good, bad, direct] = await Promise.all([
      failuresOf(driver.send(many, signal())),
      failuresOf(driver.send([message('x', { topic: unique('missing') })], signal())),
      failuresOf(driver.send([message('y', work(queue))], signal())),
    ]);
    expect([good, bad, direct]).toEqual([[], ['0 NOT_FOUND'], []]);
    await idsIn(driver, queue, 401);
  });

  test('a topic deleted behind our back: TIMEOUT (unknown) or NOT_FOUND, then NOT_FOUND, and other targets never notice', async () => {
    const driver = start({ url: broker.url });
    const { queue, topic } = await place(driver);
    await driver.send([message('0', { topic })], signal());
    const channel = await (await driver.connection()).createChannel();
    await channel.deleteExchange(topic);
    await channel.close();
    const [first] = await failuresOf(driver.send([message('1', { topic }), message('2', work(queue))], signal()));
    expect(['0 TIMEOUT', '0 NOT_FOUND']).toContain(first);
    expect(await failuresOf(driver.send([message('1', { topic }), message('3', work(queue))], signal()))).toEqual([
      '0 NOT_FOUND',
    ]);
    expect(await idsIn(driver, queue, 3)).toEqual(['0', '2', '3']);
  });

  test('a full queue that rejects publishes fails exactly what it refused', async () => {
    const driver = start({ url: broker.url });
    const name = unique('tiny');
    const channel = await (await driver.connection()).createChannel();
    await channel.assertQueue(name, {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-max-length': 1, 'x-overflow': 'reject-publish' },
    });
    afterwards(async () => void (await channel.deleteQueue(name)));
    const target: OutgoingMessage['target'] = { queue: name, lane: 'work' };
    const outcomes: string[] = [];
    for (let index = 0; index < 10; index += 1) {
      const [failed] = await failuresOf(driver.send([message(`f${index}`, target)], signal()));
      outcomes.push(failed ?? 'stored');
    }
    const stored = outcomes.filter((outcome) => outcome === 'stored').length;
    expect(new Set(outcomes)).toEqual(new Set(['stored', '0 UNAVAILABLE']));
    expect((await channel.checkQueue(name)).messageCount).toBe(stored);
  });

  test('a lost confirmation is TIMEOUT, a connection that was never there UNAVAILABLE, and the next send works', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const { queue, topic } = await place(driver);
    await driver.send([message('0', { topic })], signal());
    proxy.freeze('answers');
    const sending = failuresOf(driver.send([message('1', { topic }), message('2', { topic })], signal()));
    await new Promise((resolve) => setTimeout(resolve, 300));
    proxy.cut();
    expect(await sending).toEqual(['0 TIMEOUT', '1 TIMEOUT']);
    proxy.thaw();
    proxy.refuse(true);
    expect(await failuresOf(driver.send([message('3', { topic })], signal()))).toEqual(['0 UNAVAILABLE']);
    proxy.refuse(false);
    await eventually(() => driver.send([message('4', { topic })], signal()));
    expect(await idsIn(driver, queue, 4)).toEqual(['0', '1', '2', '4']);
  });

  test('an aborted signal ends a send at once: what was written is TIMEOUT, the rest UNAVAILABLE, and no late confirmation counts', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const { queue, topic } = await place(driver);
    await driver.send([message('0', { topic })], signal());
    proxy.freeze();
    const begun = Date.now();
    const batch = Array.from({ length: 400 }, (_, index) =>
      message(`a${index}`, { topic }, { body: new Uint8Array(10_000) }),
    );
    const failed = await failuresOf(driver.send(batch, signal(300)));
    expect(Date.now() - begun).toBeLessThan(900);
    expect(failed).toHaveLength(400);
    expect(failed.filter((each) => !/ (TIMEOUT|UNAVAILABLE)$/.test(each))).toEqual([]);
    expect(await failuresOf(driver.send([message('b', { topic })], AbortSignal.abort()))).toEqual(['0 UNAVAILABLE']);
    proxy.thaw();
    await eventually(() => driver.send([message('c', { topic })], signal(2_000)));
    const stored = await eventually(async () => {
      const { ready } = await driver.admin.depth(queue);
      expect(ready).toBeGreaterThanOrEqual(2);
      return ready;
    });
    // Whatever is stored was reported as stored or as unknown.
    const unknown = failed.filter((each) => each.endsWith('TIMEOUT')).map((each) => `a${each.split(' ')[0]}`);
    const ids = await idsIn(driver, queue, stored);
    expect(ids.filter((id) => !['0', 'c', ...unknown].includes(id))).toEqual([]);
  });

  test.runIf(broker.control !== undefined)(
    'a topic without permission is PERMISSION_DENIED for its messages alone',
    async () => {
      const admin = start({ url: broker.url });
      const { queue, topic } = await place(admin);
      const user = unique('user');
      await broker.control?.('add_user', user, 'hunter2');
      afterwards(async () => broker.control?.('delete_user', user));
      await broker.control?.('set_permissions', user, '^$', '^amq\\.default$', '^$');
      const limited = new URL(broker.url);
      limited.username = user;
      limited.password = 'hunter2';
      const driver = start({ url: limited.href });
      const failed = await failuresOf(
        driver.send([message('1', work(queue)), message('2', { topic }), message('3', work(queue))], signal()),
      );
      expect(failed).toEqual(['1 PERMISSION_DENIED']);
      expect(await idsIn(admin, queue, 2)).toEqual(['1', '3']);
    },
  );
});
