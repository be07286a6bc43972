import { createServer } from 'node:net';
import { inspect } from 'node:util';
import type { WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
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

const failure = async (promise: Promise<unknown>): Promise<WaybillError> =>
  promise.then(
    () => {
      throw new Error('it resolved');
    },
    (error: unknown) => error as WaybillError,
  );

/** The server's version in its first frame, one major lower. */
function olderBy(answer: Buffer): Buffer {
  const at = answer.indexOf(Buffer.from('versionS\0\0\0\u00054.', 'latin1'));
  if (at >= 0) answer[at + 'versionS'.length + 4] = '3'.charCodeAt(0);
  return answer;
}

describe.each(brokers())('connection, $name', (broker) => {
  const changed = (change: (url: URL) => void): string => {
    const url = new URL(broker.url);
    change(url);
    return url.href;
  };

  test('a wrong password is PERMISSION_DENIED and appears nowhere', async () => {
    const driver = start({ url: changed((url) => (url.password = 'hunter2-secret')) });
    const error = await failure(driver.send([message('1', { topic: 'any' })], signal()));
    expect(error.code).toBe('PERMISSION_DENIED');
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('hunter2');
  });

  test('an unknown virtual host is NOT_FOUND', async () => {
    const driver = start({ url: changed((url) => (url.pathname = '/no-such-vhost')) });
    expect((await failure(driver.connection())).code).toBe('NOT_FOUND');
  });

  test('nothing that listens, and an unknown host, are UNAVAILABLE without the password', async () => {
    for (const url of ['amqp://me:hunter2@127.0.0.1:1', 'amqp://me:hunter2@no-such-host.invalid']) {
      const error = await failure(start({ url }).connection());
      expect(error.code).toBe('UNAVAILABLE');
      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('hunter2');
    }
  });

  test('a server that accepts and says nothing is UNAVAILABLE after connectTimeoutMs', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    afterwards(async () => server.close());
    const { port } = server.address() as { readonly port: number };
    const begun = Date.now();
    const driver = start({ url: `amqp://127.0.0.1:${port}`, connectTimeoutMs: 300 });
    expect((await failure(driver.connection())).code).toBe('UNAVAILABLE');
    expect(Date.now() - begun).toBeLessThan(2_000);
  });

  test('the next url is tried after one failed', async () => {
    const driver = start({ url: ['amqp://127.0.0.1:1', broker.url] });
    expect((await failure(driver.connection())).code).toBe('UNAVAILABLE');
    await driver.connection();
  });

  test('a broker older than 4.0 is refused in one sentence', async () => {
    // Only what the server says of itself differs.
    const proxy = await proxied(broker.url, olderBy);
    const error = await failure(start({ url: proxy.url }).connection());
    expect(error.code).toBe('UNSUPPORTED');
    expect(error.message).toMatch(
      /^RabbitMQ 3\.\d\.\d at 127\.0\.0\.1:\d+ cannot be used: Waybill needs RabbitMQ 4\.0 or later\.$/,
    );
  });

  test('a connection that is cut while idle throws nothing and is made again by the next call', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const { queue, topic } = await place(driver);
    proxy.cut();
    await eventually(() => expect(proxy.connections()).toBe(0));
    await driver.send([message('1', { topic })], signal());
    expect((await driver.admin.depth(queue)).ready).toBe(1);
  });

  test('a cut during subscribe leaves nothing dead behind: the next subscribe works', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const { queue } = await place(driver);
    for (let turn = 0; turn < 15; turn += 1) {
      const cut = new Promise<void>((resolve) => setTimeout(() => resolve(proxy.cut()), turn));
      await driver.subscribe(queue, 'work', { maxInFlight: 1, onLost: () => undefined }).then(
        (subscription) => subscription.close(Date.now() + 1_000),
        (error: unknown) => expect((error as WaybillError).code).toBe('UNAVAILABLE'),
      );
      await cut;
    }
    const subscription = await eventually(() => consume(driver, queue));
    await driver.send([message('1', work(queue))], signal());
    await settleAll(subscription, await take(subscription, 1));
  });

  test('a frozen peer is noticed by two missed heartbeats, and the process goes on', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url, heartbeatSeconds: 1 });
    const { queue, topic } = await place(driver);
    const subscription = await consume(driver, queue);
    proxy.freeze();
    const frozenAt = Date.now();
    const error = await failure(subscription.receive(1, signal()));
    expect(error.code).toBe('UNAVAILABLE');
    expect(Date.now() - frozenAt).toBeLessThan(4_000);
    proxy.thaw();
    await eventually(() => driver.send([message('1', { topic })], signal(2_000)));
    const [delivery] = await eventually(() => take(subscription, 1));
    expect(idOf(delivery as never)).toBe('1');
  });

  test('close ends by its deadline when the peer is gone', async () => {
    const { queue } = await place(start({ url: broker.url }));
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const subscription = await driver.subscribe(queue, 'work', { maxInFlight: 10, onLost: () => undefined });
    await driver.connection();
    proxy.freeze();
    const begun = Date.now();
    await subscription.close(begun + 300);
    await driver.close(begun + 600);
    expect(Date.now() - begun).toBeLessThan(1_000);
    proxy.thaw();
    await eventually(() => expect(proxy.connections()).toBe(0));
    expect((await failure(driver.connection())).code).toBe('CLOSED');
  });

  test('close calls off a connection attempt', async () => {
    const proxy = await proxied(broker.url);
    proxy.freeze();
    const driver = start({ url: proxy.url });
    const connecting = failure(driver.connection());
    await eventually(() => expect(proxy.connections()).toBe(1));
    await driver.close(Date.now() + 100);
    expect(['CLOSED', 'UNAVAILABLE']).toContain((await connecting).code);
    proxy.thaw();
    await eventually(() => expect(proxy.connections()).toBe(0));
  });

  test.runIf(broker.own !== undefined)(
    'a restarted broker has everything, and the same driver goes on',
    async () => {
      const own = await broker.own?.();
      const driver = start({ url: own?.url ?? '' });
      const { queue, topic } = await place(driver);
      const subscription = await consume(driver, queue);
      await driver.send([message('1', { topic }), message('2', work(queue))], signal());
      await take(subscription, 1);
      await own?.restart();
      await eventually(() => driver.send([message('3', { topic })], signal(3_000)), 40_000);
      const again = await take(subscription, 3);
      expect(again.map(idOf).toSorted()).toEqual(['1', '2', '3']);
      expect(subscription.lost).toHaveLength(1);
      await settleAll(subscription, again);
    },
    90_000,
  );

  test.runIf(broker.own !== undefined)(
    'while the broker blocks publishers sends are THROTTLED or time out, acknowledgements pass, and it recovers',
    async () => {
      const own = await broker.own?.();
      const driver = start({ url: own?.url ?? '' });
      const { queue, topic } = await place(driver);
      const subscription = await consume(driver, queue);
      await driver.send([message('0', { topic })], signal());
      await own?.control('set_vm_memory_high_watermark', '0.000001');
      const unblock = async (): Promise<unknown> => own?.control('set_vm_memory_high_watermark', '0.6');
      afterwards(unblock);
      const first = await failure(driver.send([message('1', { topic })], signal(1_500)));
      expect(first.code).toBe('TIMEOUT');
      const second = await failure(driver.send([message('2', { topic })], signal(1_500)));
      expect(second.code).toBe('THROTTLED');
      await settleAll(subscription, await take(subscription, 1));
      await expect(driver.admin.depth(queue)).resolves.toMatchObject({ ready: 0 });
      await unblock();
      await eventually(() => driver.send([message('3', { topic })], signal(1_500)));
      // The first one waited in the socket: its outcome was unknown indeed.
      expect((await take(subscription, 2)).map(idOf)).toEqual(['1', '3']);
    },
    90_000,
  );

  test('no listener of ours can take the connection down: an exception in onLost does not', async () => {
    const proxy = await proxied(broker.url);
    const driver = start({ url: proxy.url });
    const { queue } = await place(driver);
    const subscription = await consume(driver, queue, 'work', {
      onLost: () => {
        throw new Error(unique('boom'));
      },
    });
    await driver.send([message('1', work(queue))], signal());
    await take(subscription, 1);
    proxy.cut();
    const [delivery] = await eventually(() => take(subscription, 1));
    await settleAll(subscription, [delivery as never]);
  });
});
