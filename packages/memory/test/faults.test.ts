import { describe, expect, it } from 'vitest';
import { memory } from '../src/index.ts';
import { admin, billing, bodies, message, never, open, orders, setup } from './kit.ts';

describe('connection.cut', () => {
  it('gives back what is held and says so', async () => {
    const { broker, driver } = await setup();
    const [consumer, other] = [await open(driver), await open(memory({ broker }))];
    await driver.send([message('a')], never);
    const held = await consumer.receive();
    driver.connection.cut();
    expect(consumer.lost).toMatchObject([{ deliveries: held, cause: { code: 'UNAVAILABLE', retryable: true } }]);
    await expect(consumer.accept(...held)).rejects.toMatchObject({ code: 'LEASE_LOST' });
    expect(await consumer.subscription.extend(held)).toEqual([0]);
    expect(await other.receive()).toMatchObject([{ deliveries: 2 }]);
  });

  it('fails the next receive once, then it is connected again', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    driver.connection.cut();
    await expect(consumer.receive()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const received = consumer.receive();
    await driver.send([message('a')], never);
    expect(bodies(await received)).toEqual(['a']);
  });

  it('fails a waiting receive instead of the next', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    const waiting = consumer.receive();
    await Promise.resolve();
    driver.connection.cut();
    await expect(waiting).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await driver.send([message('a')], never);
    expect(bodies(await consumer.receive())).toEqual(['a']);
  });

  it('leaves other processes alone', async () => {
    const { broker, driver } = await setup();
    const other = await open(memory({ broker }));
    await driver.send([message('a')], never);
    const held = await other.receive();
    driver.connection.cut();
    await other.accept(...held);
    expect(other.lost).toEqual([]);
  });
});

describe('connection.kill', () => {
  it('gives everything back without a word, and closes every call', async () => {
    const { broker, driver } = await setup();
    const [consumer, other] = [await open(driver), await open(memory({ broker }))];
    await driver.send([message('a')], never);
    const held = await consumer.receive();
    const waiting = consumer.receive();
    await Promise.resolve();
    driver.connection.kill();
    await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
    expect(consumer.lost).toEqual([]);
    expect(await other.receive()).toMatchObject([{ deliveries: 2 }]);
    const calls = [
      driver.send([message('b')], never),
      driver.verify({ topics: [], queues: [] }, never),
      open(driver),
      consumer.receive(),
      consumer.accept(...held),
      consumer.subscription.extend(held),
      consumer.subscription.resize(1),
      admin(driver).apply({ topics: [], queues: [] }, never),
      admin(driver).depth(billing),
      admin(driver).purge(billing, 'work'),
      driver.browse?.(billing, undefined, 1),
    ];
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('lets a later close resolve', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    driver.connection.kill();
    await expect(consumer.subscription.close(0)).resolves.toBeUndefined();
    await expect(driver.close(0)).resolves.toBeUndefined();
  });
});

describe('broker.stop', () => {
  it('makes every call UNAVAILABLE until it starts, and keeps what is stored', async () => {
    const { broker, driver } = await setup();
    const consumer = await open(driver);
    await driver.send([message('a'), message('b')], never);
    const held = await consumer.receive(1);
    broker.stop();
    expect(broker.isUp).toBe(false);
    expect(consumer.lost).toMatchObject([{ deliveries: held }]);
    const calls = [
      driver.send([message('c')], never),
      driver.verify({ topics: [], queues: [] }, never),
      open(driver),
      consumer.receive(),
      consumer.receive(),
      consumer.accept(...held),
      admin(driver).apply({ topics: [], queues: [] }, never),
    ];
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    broker.start();
    expect(bodies(await consumer.receive())).toEqual(['a', 'b']);
  });

  it('lets delayed messages become due meanwhile', async () => {
    const { broker, driver, time } = await setup();
    await driver.send([message('a', { notBefore: time.now() + 10 })], never);
    broker.stop();
    await time.advance(20);
    broker.start();
    expect(bodies(await (await open(driver)).receive())).toEqual(['a']);
  });

  it('lets a driver be made and closed while it is down', async () => {
    const { broker } = await setup();
    broker.stop();
    const driver = memory({ broker });
    await expect(admin(driver).apply({ topics: [orders], queues: [] }, never)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    await expect(driver.close(0)).resolves.toBeUndefined();
  });
});
