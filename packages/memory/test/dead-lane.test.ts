import { describe, expect, it } from 'vitest';
import { memory, type MemoryDriver } from '../src/index.ts';
import { admin, billing, bodies, message, never, open, setup } from './kit.ts';

function browse(driver: MemoryDriver): NonNullable<MemoryDriver['browse']> {
  return (...page) => driver.browse?.(...page) ?? Promise.reject(new Error('this driver cannot browse'));
}

const letters = (count: number) => Array.from({ length: count }, (_, index) => message(`l${index}`, { lane: 'dead' }));

describe('the dead lane', () => {
  it('gets what is rejected, with the headers merged over its own', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    await driver.send([message('a', { headers: { trace: '1', waybill: 'old' }, key: 'k' })], never);
    const [delivery] = await consumer.receive();
    if (delivery === undefined) throw new Error('nothing received');
    await consumer.subscription.settle([
      { delivery, action: 'reject', reason: 'invalid', headers: { waybill: 'new' } },
    ]);
    const page = await browse(driver)(billing, undefined, 10);
    expect(page.letters).toMatchObject([
      { headers: { trace: '1', waybill: 'new' }, key: 'k', brokerReason: 'invalid', deliveries: 0 },
    ]);
    expect(page.letters[0]?.body).toBe(delivery.body);
    expect(await consumer.poll()).toEqual([]);
  });

  it("loses the headers of a rejection where reject is 'bare'", async () => {
    const { driver } = await setup({ capabilities: { reject: 'bare' } });
    const consumer = await open(driver);
    await driver.send([message('a', { headers: { waybill: 'old' } })], never);
    const [delivery] = await consumer.receive();
    if (delivery === undefined) throw new Error('nothing received');
    await consumer.reject(delivery);
    const page = await browse(driver)(billing, undefined, 10);
    expect(page.letters).toMatchObject([{ headers: { waybill: 'old' }, brokerReason: 'rejected' }]);
  });

  it("refuses a rejection where reject is 'none', and settles nothing", async () => {
    const { driver } = await setup({ capabilities: { reject: 'none' } });
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    const [delivery] = await consumer.receive();
    if (delivery === undefined) throw new Error('nothing received');
    await expect(consumer.reject(delivery)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    await consumer.accept(delivery);
  });

  it('is listed in pages, in order, without taking anything', async () => {
    const { driver } = await setup();
    await driver.send(letters(5), never);
    for (let listing = 0; listing < 3; listing++) {
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const page = await browse(driver)(billing, after, 2);
        seen.push(...bodies(page.letters));
        after = page.after;
      } while (after !== undefined);
      expect(seen).toEqual(['l0', 'l1', 'l2', 'l3', 'l4']);
    }
    expect(await admin(driver).depth(billing)).toMatchObject({ deadLettered: 5 });
  });

  it('says on its last full page that there is no more', async () => {
    const { driver } = await setup();
    await driver.send(letters(2), never);
    expect(await browse(driver)(billing, undefined, 2)).not.toHaveProperty('after');
    expect(await browse(driver)(billing, undefined, 0)).toEqual({ letters: [] });
  });

  it('lists and counts letters that somebody holds', async () => {
    const { broker, driver } = await setup();
    await driver.send(letters(4), never);
    const redrive = await open(memory({ broker }), billing, { lane: 'dead' });
    const held = await redrive.receive(2);
    expect(bodies(held)).toEqual(['l0', 'l1']);
    expect(bodies((await browse(driver)(billing, undefined, 3)).letters)).toEqual(['l0', 'l1', 'l2']);
    expect(await admin(driver).depth(billing)).toMatchObject({ deadLettered: 4, ready: 0, inFlight: 0 });
    await redrive.accept(...held);
    expect(bodies((await browse(driver)(billing, undefined, 3)).letters)).toEqual(['l2', 'l3']);
    expect(await admin(driver).depth(billing)).toMatchObject({ deadLettered: 2 });
  });

  it('is purged alone', async () => {
    const { driver } = await setup();
    await driver.send([...letters(3), message('a')], never);
    await admin(driver).purge(billing, 'dead');
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 1, deadLettered: 0 });
  });

  it('gets what was handed out maxDeliveries times, from the broker', async () => {
    const { driver } = await setup({ capabilities: { maxDeliveries: 3 } });
    const consumer = await open(driver);
    await driver.send([message('a')], never);
    for (let deliveries = 1; deliveries <= 3; deliveries++) {
      const received = await consumer.receive();
      expect(received).toMatchObject([{ deliveries }]);
      await consumer.release(...received);
    }
    expect(await consumer.poll()).toEqual([]);
    expect((await browse(driver)(billing, undefined, 10)).letters).toMatchObject([{ brokerReason: 'delivery_limit' }]);
  });

  it('has no delivery limit of its own', async () => {
    const { driver } = await setup({ capabilities: { maxDeliveries: 2 } });
    const redrive = await open(driver, billing, { lane: 'dead' });
    await driver.send(letters(1), never);
    for (let turn = 0; turn < 5; turn++) await redrive.release(...(await redrive.receive()));
    const { letters: listed } = await browse(driver)(billing, undefined, 10);
    expect(listed).toMatchObject([{ position: 'billing.dead@1', deliveries: 5 }]);
    expect(listed[0]).not.toHaveProperty('brokerReason');
  });
});
