import { describe, expect, it } from 'vitest';
import { IdWindow } from '../src/id-window.ts';
import { admin, billing, message, never, open, setup } from './kit.ts';

describe('deduplicationMs', () => {
  it('swallows a copy whose id the queue stored within the window', async () => {
    const { driver, time } = await setup({ deduplicationMs: 1_000 });
    await driver.send([message('a')], never);
    await time.advance(999);
    await driver.send([message('a')], never);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 1 });
    await time.advance(1);
    await driver.send([message('a')], never);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 2 });
  });

  it('swallows a copy whose first is settled or still delayed', async () => {
    const { driver, time } = await setup({ deduplicationMs: 1_000 });
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    await consumer.accept(...(await consumer.receive()));
    await driver.send([message('a', { notBefore: time.now() + 500 })], never);
    await driver.send([message('b', { notBefore: time.now() + 500 }), message('b')], never);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 0, delayed: 1 });
  });

  it('asks each queue and lane by itself', async () => {
    const { driver } = await setup({ deduplicationMs: 1_000 });
    const batch = [
      message('a'),
      message('a', { target: { queue: 'ledger', lane: 'work' } }),
      message('a', { lane: 'dead' }),
    ];
    await driver.send(batch, never);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 1, deadLettered: 1 });
  });

  it('keeps an id that was refused free', async () => {
    const { driver } = await setup({ deduplicationMs: 1_000, capabilities: { maxMessageBytes: 10 } });
    await expect(driver.send([message('a', { body: new Uint8Array(11) })], never)).rejects.toMatchObject({
      code: 'TOO_LARGE',
    });
    await driver.send([message('a')], never);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 1 });
  });

  it('is off unless asked for', async () => {
    const { driver } = await setup();
    await driver.send([message('a'), message('a')], never);
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 2 });
  });
});

describe('IdWindow', () => {
  it('forgets what is older than two windows', () => {
    const ids = new IdWindow(100);
    for (let now = 0; now < 10_000; now++) ids.add(`id${now}`, now);
    expect(ids.size).toBeLessThanOrEqual(200);
  });

  it('remembers across its generations', () => {
    const ids = new IdWindow(100);
    expect(ids.add('a', 0)).toBe(true);
    expect(ids.add('b', 90)).toBe(true);
    expect(ids.add('c', 110)).toBe(true);
    expect([189, 190].map((now) => ids.add('b', now))).toEqual([false, true]);
  });

  it('does not renew an id by its repetitions', () => {
    const ids = new IdWindow(100);
    expect([0, 60, 99, 100].map((now) => ids.add('a', now))).toEqual([true, false, false, true]);
  });
});
