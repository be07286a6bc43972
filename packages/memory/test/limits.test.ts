import { describe, expect, it } from 'vitest';
import { admin, billing, message, never, open, setup } from './kit.ts';

const two = [message('a'), message('b')];

describe('limits', () => {
  it('refuse a batch of too many, and store none of it', async () => {
    const { driver } = await setup({ limits: { send: { count: 1 } } });
    await expect(driver.send(two, never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', name: 'WaybillError' });
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 0 });
  });

  it('refuse a batch of too many bytes', async () => {
    const { driver } = await setup({ limits: { send: { bytes: 1 } } });
    await expect(driver.send(two, never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await driver.send(two.slice(0, 1), never);
  });

  it('refuse more open calls than declared', async () => {
    const { driver } = await setup({ limits: { send: { concurrency: 1 } } });
    const first = driver.send([message('a')], never);
    await expect(driver.send([message('b')], never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await first;
    await driver.send([message('c')], never);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 2 });
  });

  it('refuse calls that follow too soon', async () => {
    const { driver, time } = await setup({ limits: { send: { everyMs: 100 } } });
    await driver.send([message('a')], never);
    await time.advance(50);
    await expect(driver.send([message('b')], never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await time.advance(50);
    await driver.send([message('c')], never);
  });

  it('refuse too many settlements at once, and settle none', async () => {
    const { driver } = await setup({ limits: { settle: { count: 1 } } });
    const consumer = await open(driver);
    await driver.send(two, never);
    const held = await consumer.receive();
    await expect(consumer.accept(...held)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    for (const delivery of held) await consumer.accept(delivery);
  });

  it('hold receive to its count', async () => {
    const { driver } = await setup({ limits: { receive: { count: 1 } } });
    await driver.send(two, never);
    expect(await (await open(driver)).receive(10)).toHaveLength(1);
  });
});
