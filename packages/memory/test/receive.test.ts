import { describe, expect, it } from 'vitest';
import { memory } from '../src/index.ts';
import { billing, bodies, message, never, open, setup } from './kit.ts';

const five = ['a', 'b', 'c', 'd', 'e'].map((id) => message(id));

describe('receive', () => {
  it('gives up to max, in stored order', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    await driver.send(five, never);
    expect(bodies(await consumer.receive(2))).toEqual(['a', 'b']);
    expect(bodies(await consumer.receive(9))).toEqual(['c', 'd', 'e']);
  });

  it('waits until there is something, then gives a batch together', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    const received = consumer.receive();
    await driver.send(five, never);
    expect(bodies(await received)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('gives nothing only once its signal aborts', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    const stop = new AbortController();
    const received = consumer.subscription.receive(1, stop.signal);
    stop.abort();
    expect(await received).toEqual([]);
    expect(await consumer.subscription.receive(1, stop.signal)).toEqual([]);
    await driver.send([message('a')], never);
    expect(bodies(await consumer.receive())).toEqual(['a']);
  });

  it('holds at most maxInFlight unsettled', async () => {
    const { driver } = await setup();
    const consumer = await open(driver, billing, { maxInFlight: 2 });
    await driver.send(five, never);
    const held = await consumer.receive();
    expect(held).toHaveLength(2);
    expect(await consumer.poll()).toEqual([]);
    const received = consumer.receive();
    await consumer.accept(...held.slice(0, 1));
    expect(bodies(await received)).toEqual(['c']);
  });

  it('holds as many as it was resized to', async () => {
    const { driver } = await setup();
    const consumer = await open(driver, billing, { maxInFlight: 1 });
    await driver.send(five, never);
    await consumer.receive();
    const received = consumer.receive();
    await consumer.subscription.resize(3);
    expect(await received).toHaveLength(2);
  });

  it('counts the hand-outs of a stored copy', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    for (const deliveries of [1, 2, 3]) {
      const received = await consumer.receive();
      expect(received).toMatchObject([{ deliveries }]);
      await consumer.release(...received);
    }
  });

  it('shares what arrives among those that wait', async () => {
    const { broker, driver } = await setup();
    const consumers = [await open(driver), await open(memory({ broker }))];
    const received = consumers.map((consumer) => consumer.receive());
    await driver.send(five.slice(0, 4), never);
    const shares = (await Promise.all(received)).map(bodies);
    expect(shares.map((share) => share.length)).toEqual([2, 2]);
    expect(shares.flat().toSorted()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('refuses a second receive while one waits', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    void consumer.receive();
    await expect(consumer.receive()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('starves no timer in a loop that always finds something', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    const timer = { fired: false };
    setTimeout(() => (timer.fired = true), 1);
    for (let sent = 0; sent < 1_000_000 && !timer.fired; sent++) {
      await driver.send([message('a')], never);
      await consumer.accept(...(await consumer.receive()));
    }
    expect(timer.fired).toBe(true);
  });
});
