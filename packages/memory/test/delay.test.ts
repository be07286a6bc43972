import { describe, expect, it } from 'vitest';
import { admin, billing, bodies, message, never, open, setup } from './kit.ts';

describe('delay', () => {
  it('is never early and not late on an idle queue', async () => {
    const { time, driver } = await setup();
    const consumer = await open(driver);
    await driver.send([message('a', { notBefore: time.now() + 5_000 })], never);
    await time.advance(4_999);
    expect(await consumer.poll()).toEqual([]);
    const received = consumer.receive();
    await time.advance(1);
    expect(bodies(await received)).toEqual(['a']);
  });

  it('blocks nothing behind it', async () => {
    const { time, driver } = await setup();
    const consumer = await open(driver);
    const delays = { d: 9_000, c: 3_000, b: 1_000, a: 0 };
    await driver.send(
      Object.entries(delays).map(([id, ms]) => message(id, { notBefore: time.now() + ms })),
      never,
    );
    expect(bodies(await consumer.receive())).toEqual(['a']);
    await time.advance(3_000);
    expect(bodies(await consumer.receive())).toEqual(['b', 'c']);
    await time.advance(6_000);
    expect(bodies(await consumer.receive())).toEqual(['d']);
  });

  it('counts as delayed until it is due', async () => {
    const { time, driver } = await setup();
    await driver.send([message('a', { notBefore: time.now() + 10 }), message('b')], never);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 1, delayed: 1 });
    await time.advance(10);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 2, delayed: 0 });
  });

  it('is refused beyond maxDelayMs', async () => {
    const { time, driver } = await setup({ capabilities: { maxDelayMs: 3_000 } });
    const batch = [3_000, 3_001].map((ms) => message(`m${ms}`, { notBefore: time.now() + ms }));
    await expect(driver.send(batch, never)).rejects.toMatchObject({
      failures: [{ index: 1, error: { code: 'UNSUPPORTED' } }],
    });
  });

  it('is refused on a topic', async () => {
    const { time, driver } = await setup();
    const delayed = message('a', { target: { topic: 'orders' }, notBefore: time.now() });
    await expect(driver.send([delayed], never)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  it('ends at the next multiple of delayErrorMs', async () => {
    const { time, driver } = await setup({ capabilities: { delayErrorMs: 1_000 } });
    await driver.send([message('a', { notBefore: time.now() + 1_001 })], never);
    await time.advance(1_999);
    expect(await admin(driver).depth(billing)).toMatchObject({ delayed: 1 });
    await time.advance(1);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 1 });
  });

  it('is purged with its lane', async () => {
    const { time, driver } = await setup();
    await driver.send([message('a', { notBefore: time.now() + 10 }), message('b')], never);
    await admin(driver).purge(billing, 'work');
    await time.advance(10);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 0, delayed: 0 });
  });
});
