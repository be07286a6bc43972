import { describe, expect, it } from 'vitest';
import { memory } from '../src/index.ts';
import { admin, billing, bodies, ledger, message, never, open, orders, setup } from './kit.ts';

const refunds = { name: 'refunds', keyed: true };

describe('apply', () => {
  it('says in one sentence each what it created, and nothing the second time', async () => {
    const driver = memory();
    const topology = { topics: [orders, refunds], queues: [billing, ledger] };
    expect(await admin(driver).apply(topology, never)).toEqual([
      'Created topic "orders", not keyed.',
      'Created topic "refunds", keyed.',
      'Created queue "billing", not ordered.',
      'Bound queue "billing" to topic "orders" for order.placed.',
      'Created queue "ledger", ordered.',
    ]);
    expect(await admin(driver).apply(topology, never)).toEqual([]);
  });

  it('adds bindings and deletes none', async () => {
    const { driver } = await setup();
    const wider = { ...billing, bindings: [{ topic: orders, types: ['order.paid'] }] };
    expect(await admin(driver).apply({ topics: [], queues: [wider] }, never)).toEqual([
      'Bound queue "billing" to topic "orders" for order.paid.',
    ]);
    const consumer = await open(driver);
    const target = { topic: 'orders' };
    await driver.send([message('a', { target }), message('b', { target, type: 'order.paid' })], never);
    expect(bodies(await consumer.receive())).toEqual(['a', 'b']);
  });

  it('rejects CONFLICT on a difference and creates nothing', async () => {
    const { driver } = await setup();
    const other = { name: 'other', ordered: false, bindings: [] };
    const differing = { topics: [{ ...orders, keyed: true }], queues: [{ ...ledger, ordered: false }, other] };
    const applied = admin(driver).apply(differing, never);
    await expect(applied).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringMatching(/"orders".*"ledger"/),
    });
    await expect(admin(driver).depth(other)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('verify', () => {
  it('names what is missing and what differs', async () => {
    const { driver } = await setup();
    const queues = [
      { ...billing, bindings: [{ topic: orders, types: ['order.placed', 'order.paid'] }] },
      { ...ledger, ordered: false },
      { name: 'other', ordered: false, bindings: [{ topic: refunds, types: ['refunded'] }] },
    ];
    expect(await driver.verify({ topics: [], queues }, never)).toEqual([
      'Topic "refunds" is missing.',
      'Queue "billing" is not bound to topic "orders" for order.paid.',
      'Queue "other" is missing.',
      'Queue "other" is not bound to topic "refunds" for refunded.',
      'Queue "ledger" is ordered, not not ordered.',
    ]);
  });

  it('finds nothing after apply', async () => {
    const { driver } = await setup();
    expect(await driver.verify({ topics: [orders], queues: [billing, ledger] }, never)).toEqual([]);
  });
});

describe('subscribe', () => {
  it('rejects NOT_FOUND naming the missing queue or binding', async () => {
    const { driver } = await setup();
    await expect(open(driver, { ...billing, name: 'nobody' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('"nobody"'),
    });
    const unbound = { ...billing, bindings: [{ topic: refunds, types: ['refunded'] }] };
    await expect(open(driver, unbound)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('"refunds"'),
    });
  });

  it('rejects CONFLICT for a queue that is ordered otherwise', async () => {
    const { driver } = await setup();
    await expect(open(driver, { ...ledger, ordered: false })).rejects.toMatchObject({ code: 'CONFLICT' });
  });
});

describe('a driver without management rights', () => {
  it('has no admin and no browse at all', async () => {
    const driver = memory({ admin: false, browse: false });
    expect('admin' in driver).toBe(false);
    expect('browse' in driver).toBe(false);
  });

  it('works on what another one created', async () => {
    const { broker } = await setup();
    const driver = memory({ broker, admin: false });
    await driver.send([message('a')], never);
    expect(bodies(await (await open(driver)).receive())).toEqual(['a']);
  });
});

describe('boundTypes', () => {
  const unfiltered = { capabilities: { filtersTypes: false } } as const;

  it('tells which types a queue is bound to by now, whoever bound them and on whatever topic', async () => {
    const { broker, driver } = await setup(unfiltered);
    const types = ['order.placed', 'order.paid', 'refunded', 'order.lost'];
    expect(await driver.boundTypes?.(billing, types)).toEqual(['order.placed']);
    const bindings = [
      { topic: orders, types: ['order.paid'] },
      { topic: refunds, types: ['refunded'] },
    ];
    await admin(memory({ broker, ...unfiltered })).apply({ topics: [], queues: [{ ...billing, bindings }] }, never);
    expect(await driver.boundTypes?.(billing, types)).toEqual(['order.placed', 'order.paid', 'refunded']);
    const another = { ...ledger, bindings: [{ topic: orders, types: ['order.lost'] }] };
    await admin(driver).apply({ topics: [], queues: [another] }, never);
    expect(await driver.boundTypes?.(billing, types)).not.toContain('order.lost');
  });

  it('is absent where the broker filters', () => {
    expect(memory().boundTypes).toBeUndefined();
  });

  it('rejects while the broker is down', async () => {
    const { broker, driver } = await setup(unfiltered);
    broker.stop();
    await expect(driver.boundTypes?.(billing, ['order.placed'])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('without filters', () => {
  it('a type that nobody bound yet is missing, though it would arrive', async () => {
    const { driver } = await setup({ capabilities: { filtersTypes: false } });
    const wider = { ...billing, bindings: [{ topic: orders, types: ['order.placed', 'order.paid'] }] };
    expect(await driver.verify({ topics: [], queues: [wider] }, never)).toEqual([
      'Queue "billing" is not bound to topic "orders" for order.paid.',
    ]);
  });
});
