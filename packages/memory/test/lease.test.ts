import { describe, expect, it } from 'vitest';
import { admin, billing, bodies, message, never, open, setup } from './kit.ts';

describe('lease', () => {
  it('is 30 s, and then the delivery goes back', async () => {
    const { time, driver } = await setup();
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    expect(await consumer.receive()).toMatchObject([{ leaseUntil: time.now() + 30_000, deliveries: 1 }]);
    await time.advance(29_999);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 0, inFlight: 1 });
    await time.advance(1);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 1, inFlight: 0 });
    expect(await consumer.receive()).toMatchObject([{ deliveries: 2 }]);
  });

  it('that ran out makes a late settle LEASE_LOST and changes nothing', async () => {
    const { time, driver } = await setup({ leaseMs: 1_000 });
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    const held = await consumer.receive();
    await time.advance(1_000);
    await expect(consumer.accept(...held)).rejects.toMatchObject({
      failures: [{ index: 0, error: { code: 'LEASE_LOST' } }],
    });
    expect(await consumer.subscription.extend(held)).toEqual([0]);
    expect(await consumer.receive()).toHaveLength(1);
    expect(consumer.lost).toEqual([]);
  });

  it('is extended from now, for exactly those extended', async () => {
    const { time, driver } = await setup({ leaseMs: 1_000 });
    const consumer = await open(driver);
    await driver.send([message('a'), message('b')], never);
    const held = await consumer.receive();
    await time.advance(600);
    expect(await consumer.subscription.extend(held.slice(1))).toEqual([time.now() + 1_000]);
    await time.advance(999);
    expect(bodies(await consumer.receive())).toEqual(['a']);
    await consumer.accept(...held.slice(1));
  });

  it('ends at maxHoldMs however often it is extended', async () => {
    const { time, driver } = await setup({ leaseMs: 1_000, capabilities: { maxHoldMs: 1_500 } });
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    const held = await consumer.receive();
    const end = time.now() + 1_500;
    await time.advance(900);
    expect(await consumer.subscription.extend(held)).toEqual([end]);
    await time.advance(600);
    expect(await consumer.subscription.extend(held)).toEqual([0]);
    expect(await consumer.receive()).toMatchObject([{ deliveries: 2 }]);
  });

  it('without a clock has no end', async () => {
    const { time, driver } = await setup({ leaseMs: Number.POSITIVE_INFINITY });
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    const held = await consumer.receive();
    await time.advance(365 * 86_400_000);
    expect(held).toMatchObject([{ leaseUntil: Number.POSITIVE_INFINITY }]);
    expect(await consumer.subscription.extend(held)).toEqual([Number.POSITIVE_INFINITY]);
    await consumer.accept(...held);
  });

  it('without a clock is lost, and said so, when held beyond maxHoldMs', async () => {
    const { time, driver } = await setup({ leaseMs: Number.POSITIVE_INFINITY, capabilities: { maxHoldMs: 1_000 } });
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    const held = await consumer.receive();
    await time.advance(1_000);
    expect(consumer.lost).toMatchObject([{ deliveries: held, cause: { code: 'UNAVAILABLE' } }]);
    expect(await consumer.receive()).toMatchObject([{ deliveries: 2 }]);
  });

  it('keeps what is settled in time from coming back', async () => {
    const { time, driver } = await setup({ leaseMs: 1_000 });
    const consumer = await open(driver);
    for (let round = 0; round < 50; round++) {
      await driver.send([message('a')], never);
      const held = await consumer.receive();
      await time.advance(70);
      await consumer.accept(...held);
    }
    await time.advance(5_000);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 0, inFlight: 0 });
  });
});
