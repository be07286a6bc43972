import { describe, expect, it } from 'vitest';
import { memory } from '../src/index.ts';
import { admin, billing, bodies, message, never, open, setup } from './kit.ts';

describe('settle', () => {
  it('forgets an accepted delivery', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    await consumer.accept(...(await consumer.receive()));
    expect(await admin(driver).depth(billing)).toEqual({ ready: 0, inFlight: 0, delayed: 0, deadLettered: 0 });
  });

  it('puts released deliveries back in their old places at once', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    await driver.send(
      ['a', 'b', 'c', 'd'].map((id) => message(id)),
      never,
    );
    const [a, b, c] = await consumer.receive(3);
    if (a === undefined || b === undefined || c === undefined) throw new Error('nothing received');
    await consumer.release(b);
    await consumer.release(a, c);
    expect(bodies(await consumer.receive())).toEqual(['a', 'b', 'c', 'd']);
  });

  it('hands a released delivery to another process', async () => {
    const { broker, driver } = await setup();
    const [first, second] = [await open(driver), await open(memory({ broker }))];
    await driver.send([message('a')], never);
    const held = await first.receive();
    const received = second.receive();
    await first.release(...held);
    expect(await received).toMatchObject([{ deliveries: 2 }]);
  });

  it('says LEASE_LOST for exactly those that it does not hold', async () => {
    const { driver } = await setup();
    const [first, second] = [await open(driver), await open(driver)];
    await driver.send([message('a'), message('b'), message('c')], never);
    const [a, b] = await first.receive(2);
    const [c] = await second.receive();
    if (a === undefined || b === undefined || c === undefined) throw new Error('nothing received');
    await first.accept(a);
    await expect(first.accept(a, b, c)).rejects.toMatchObject({
      failures: [
        { index: 0, error: { code: 'LEASE_LOST' } },
        { index: 2, error: { code: 'LEASE_LOST' } },
      ],
    });
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 0, inFlight: 1 });
    await second.accept(c);
  });
});
