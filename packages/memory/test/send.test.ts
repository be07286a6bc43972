import { describe, expect, it } from 'vitest';
import { memory } from '../src/index.ts';
import { admin, billing, bodies, message, never, open, orders, setup } from './kit.ts';

const published = { target: { topic: 'orders' } };

describe('send', () => {
  it('gives every bound queue its own copy', async () => {
    const { driver } = await setup();
    const audit = { ...billing, name: 'audit' };
    await admin(driver).apply({ topics: [], queues: [audit] }, never);
    const [first, second] = [await open(driver, billing), await open(driver, audit)];
    await driver.send([message('a', published)], never);
    await first.accept(...(await first.receive()));
    expect(bodies(await second.receive())).toEqual(['a']);
  });

  it('gives a queue the bound types only', async () => {
    const { driver } = await setup();
    const consumer = await open(driver);
    await driver.send([message('a', { ...published, type: 'order.lost' }), message('b', published)], never);
    expect(bodies(await consumer.receive())).toEqual(['b']);
  });

  it('gives a queue every type when told not to filter', async () => {
    const { driver } = await setup({ capabilities: { filtersTypes: false } });
    const consumer = await open(driver);
    await driver.send([message('a', { ...published, type: 'order.lost' }), message('b', published)], never);
    expect(bodies(await consumer.receive())).toEqual(['a', 'b']);
    expect(driver.capabilities.filtersTypes).toBe(false);
  });

  it('gives a queue only what is published after it was created', async () => {
    const { driver } = await setup();
    const late = { ...billing, name: 'late' };
    await driver.send([message('a', published)], never);
    await admin(driver).apply({ topics: [], queues: [late] }, never);
    await driver.send([message('b', published)], never);
    expect(bodies(await (await open(driver, late)).receive())).toEqual(['b']);
  });

  it('resolves for a topic that no queue is bound to', async () => {
    const driver = memory();
    await admin(driver).apply({ topics: [orders], queues: [] }, never);
    await expect(driver.send([message('a', published)], never)).resolves.toBeUndefined();
  });

  it('rejects NOT_FOUND for exactly those whose target is missing', async () => {
    const { driver } = await setup();
    const batch = [
      message('a', { target: { topic: 'nowhere' } }),
      message('b'),
      message('c', { target: { queue: 'nobody', lane: 'work' } }),
    ];
    await expect(driver.send(batch, never)).rejects.toMatchObject({
      name: 'BatchError',
      failures: [
        { index: 0, error: { code: 'NOT_FOUND', message: expect.stringContaining('"nowhere"') } },
        { index: 2, error: { code: 'NOT_FOUND', message: expect.stringContaining('"nobody"') } },
      ],
    });
    expect(bodies(await (await open(driver)).receive())).toEqual(['b']);
  });

  it('rejects TOO_LARGE for exactly those whose body and headers are', async () => {
    const { driver } = await setup({ capabilities: { maxMessageBytes: 10 } });
    const fits = message('a', { body: new Uint8Array(7), headers: { n: 'é' } });
    const tooLarge = message('b', { body: new Uint8Array(8), headers: { n: 'é' } });
    await expect(driver.send([tooLarge, fits], never)).rejects.toMatchObject({
      failures: [{ index: 0, error: { code: 'TOO_LARGE' } }],
    });
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 1 });
  });

  it('rejects an id longer than 120 characters', async () => {
    const { driver } = await setup();
    await driver.send([message('x'.repeat(120))], never);
    await expect(driver.send([message('x'.repeat(121))], never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('stores nothing when its signal has aborted', async () => {
    const { driver } = await setup();
    await expect(driver.send([message('a')], AbortSignal.abort())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await admin(driver).depth(billing)).toMatchObject({ ready: 0 });
  });

  it('keeps the body by reference, and headers, key and content type', async () => {
    const { driver } = await setup();
    const sent = message('a', { headers: { waybill: '{"attempt":2}' }, key: 'k', contentType: 'application/json' });
    await driver.send([sent], never);
    const [delivery] = await (await open(driver)).receive();
    expect(delivery?.body).toBe(sent.body);
    expect(delivery).toMatchObject({
      headers: sent.headers,
      key: 'k',
      contentType: 'application/json',
      position: 'billing@1',
    });
  });
});
