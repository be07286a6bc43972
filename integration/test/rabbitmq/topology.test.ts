import { describe, expect, test } from 'vitest';
import {
  afterwards,
  brokers,
  containing,
  consume,
  eventually,
  message,
  place,
  signal,
  start,
  take,
  unique,
  work,
} from './broker.ts';

describe.each(brokers())('topology, $name', (broker) => {
  test('apply says what it created, and nothing the second time; verify finds nothing missing', async () => {
    const driver = start({ url: broker.url });
    const topic = { name: unique('topic'), keyed: false };
    const queue = { name: unique('queue'), ordered: false, bindings: [{ topic, types: ['a.b'] }] };
    await place(driver);
    expect(await driver.verify({ topics: [topic], queues: [queue] }, signal())).toEqual([
      `Exchange "${topic.name}" is missing.`,
      `Queue "${queue.name}.dead" is missing.`,
      `Queue "${queue.name}" is missing.`,
    ]);
    expect(await driver.admin.apply({ topics: [topic], queues: [queue] }, signal())).toEqual([
      `Created exchange "${topic.name}".`,
      `Created queue "${queue.name}.dead".`,
      `Created queue "${queue.name}".`,
    ]);
    expect(await driver.admin.apply({ topics: [topic], queues: [queue] }, signal())).toEqual([]);
    expect(await driver.verify({ topics: [topic], queues: [queue] }, signal())).toEqual([]);
    const channel = await (await driver.connection()).createChannel();
    for (const name of [queue.name, `${queue.name}.dead`]) await channel.deleteQueue(name);
    await channel.deleteExchange(topic.name);
    await channel.close();
  });

  test('a queue gets the bound types only, and a topic without queues takes everything', async () => {
    const driver = start({ url: broker.url });
    const { queue, topic } = await place(driver);
    await driver.send(
      [
        message('1', { topic }),
        message('2', { topic }, { type: 'order.cancelled' }),
        message('3', { topic }, { type: 'order.placed.late' }),
      ],
      signal(),
    );
    expect((await driver.admin.depth(queue)).ready).toBe(1);
  });

  test('a difference is CONFLICT, names the setting, and changes nothing', async () => {
    const driver = start({ url: broker.url });
    const { queue, topology } = await place(driver);
    await driver.send([message('1', work(queue))], signal());
    const ordered = { ...topology, queues: [{ ...queue, ordered: true }] };
    await expect(driver.admin.apply(ordered, signal())).rejects.toMatchObject({
      code: 'CONFLICT',
      message: containing(`The queue "${queue.name}" exists with other settings (x-`),
    });
    expect((await driver.admin.depth(queue)).ready).toBe(1);
    const foreign = unique('foreign');
    const channel = await (await driver.connection()).createChannel();
    await channel.assertExchange(foreign, 'fanout', { durable: true });
    afterwards(async () => void (await channel.deleteExchange(foreign)));
    await expect(
      driver.admin.apply({ topics: [{ name: foreign, keyed: false }], queues: [] }, signal()),
    ).rejects.toMatchObject({
      code: 'CONFLICT',
      message: `The exchange "${foreign}" exists with other settings (type: wanted 'topic' but current is 'fanout'). Nothing was changed: delete it when it is empty, or keep it and use another name.`,
    });
  });

  test.runIf(broker.managementUrl !== undefined)(
    'with the management API verify names missing bindings and differing settings, and depth counts what is in flight',
    async () => {
      const driver = start({ url: broker.url, managementUrl: broker.managementUrl ?? '' });
      const { queue, topic, topology } = await place(driver);
      expect(await driver.verify(topology, signal())).toEqual([]);
      const channel = await (await driver.connection()).createChannel();
      await channel.unbindQueue(queue.name, topic, 'order.placed');
      await channel.close();
      expect(await driver.verify({ ...topology, queues: [{ ...queue, ordered: true }] }, signal())).toEqual([
        `The queue "${queue.name}" has x-delivery-limit 100 instead of 1000.`,
        `Queue "waybill.trial.${queue.name}" is missing.`,
        `The queue "${queue.name}" is not bound to exchange "${topic}" with "order.placed".`,
      ]);
      const subscription = await consume(driver, queue, 'work', { maxInFlight: 2 });
      await driver.send(
        ['1', '2', '3', '4', '5'].map((id) => message(id, work(queue))),
        signal(),
      );
      await take(subscription, 2);
      await eventually(
        async () => expect(await driver.admin.depth(queue)).toEqual({ ready: 3, deadLettered: 0, inFlight: 2 }),
        20_000,
      );
    },
    30_000,
  );

  test('depth of a missing queue is NOT_FOUND', async () => {
    await expect(
      start({ url: broker.url }).admin.depth({ name: unique('missing'), ordered: false, bindings: [] }),
    ).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('an aborted apply ends at once', async () => {
    await expect(
      start({ url: broker.url }).admin.apply(
        { topics: [{ name: unique('topic'), keyed: false }], queues: [] },
        AbortSignal.abort(),
      ),
    ).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  test.runIf(broker.control !== undefined)(
    'the permissions of the documentation suffice',
    async () => {
      const admin = start({ url: broker.url });
      const { queue, topic, topology } = await place(admin);
      const account = async (configure: string, write: string, read: string): Promise<string> => {
        const user = unique('user');
        await broker.control?.('add_user', user, 'hunter2');
        afterwards(async () => broker.control?.('delete_user', user));
        await broker.control?.('set_permissions', user, configure, write, read);
        const url = new URL(broker.url);
        url.username = user;
        url.password = 'hunter2';
        return url.href;
      };
      const ours = `(${topic}|${queue.name}(\\.dead)?|waybill\\..*)`;
      const worker = start({
        url: await account('^waybill\\.lock\\.', `^(amq\\.default|${ours.slice(1)}$`, `^${ours}$`),
      });
      expect(await worker.verify(topology, signal())).toEqual([]);
      const subscription = await consume(worker, queue);
      await worker.send(
        [
          message('1', { topic }),
          message('2', work(queue)),
          message('3', work(queue), { notBefore: Date.now() + 100 }),
        ],
        signal(),
      );
      for (const delivery of await take(subscription, 3)) {
        await subscription.settle([{ delivery, action: 'reject', reason: 'x', headers: {} }]);
      }
      await eventually(async () => expect((await worker.browse(queue, undefined, 10)).letters).toHaveLength(3));
      await expect(
        worker.admin.apply({ topics: [{ name: unique('other'), keyed: false }], queues: [] }, signal()),
      ).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
      const creator = start({ url: await account(`^${ours}$`, `^(amq\\.default|${ours.slice(1)}$`, `^${ours}$`) });
      expect(await creator.admin.apply(topology, signal())).toEqual([]);
    },
    30_000,
  );
});
