import { describe, expect, it } from 'vitest';
import { memory } from '../src/index.ts';
import { admin, billing, bodies, message, never, open, setup } from './kit.ts';

describe('close', () => {
  it('of a subscription gives everything back and ends a waiting receive', async () => {
    const { broker, driver } = await setup();
    const [consumer, other] = [await open(driver), await open(memory({ broker }))];
    await driver.send([message('a'), message('b')], never);
    await consumer.receive();
    const waiting = consumer.receive();
    await Promise.resolve();
    await consumer.subscription.close(0);
    expect(await waiting).toEqual([]);
    expect(consumer.lost).toEqual([]);
    expect(bodies(await other.receive())).toEqual(['a', 'b']);
    await expect(consumer.receive()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('of a subscription keeps what was settled before it, awaited or not', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    const settled = consumer.accept(...(await consumer.receive()));
    await consumer.subscription.close(0);
    await settled;
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  it('of a driver gives back what all its subscriptions hold and closes every call', async () => {
    const { broker, driver } = await setup();
    const [first, second] = [await open(driver), await open(driver)];
    await driver.send([message('a'), message('b')], never);
    await first.receive(1);
    await second.receive(1);
    await driver.close(0);
    expect(bodies(await (await open(memory({ broker }))).receive())).toEqual(['a', 'b']);
    await expect(driver.send([message('c')], never)).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(driver.close(0)).resolves.toBeUndefined();
    expect([...broker.subscriptions]).toHaveLength(1);
  });

  it('leaves no lease behind that could hand something out twice', async () => {
    const { broker, driver, time } = await setup({ leaseMs: 1_000 });
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    await consumer.receive();
    await consumer.subscription.close(0);
    const other = await open(memory({ broker, leaseMs: 60_000 }));
    await other.receive();
    await time.advance(2_000);
    expect(await admin(memory({ broker })).depth(billing)).toMatchObject({ ready: 0, inFlight: 1 });
  });
});
