import { describe, expect, it } from 'vitest';
import { BatchError, decode } from '../../src/index.ts';
import { invoices, notes, Noted, Placed, range, Render, World } from './kit.ts';

describe('prepare', () => {
  it('makes the wire form of an event and sends nothing', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    const message = await bus.prepare(Placed, { key: 'a', n: 1 }, { id: 'x', correlationId: 'c' });
    expect(message).toMatchObject({
      target: { topic: 'orders' },
      id: 'x',
      type: 'order.placed',
      contentType: 'application/cloudevents+json',
      key: 'a',
      headers: {},
    });
    expect(decode(message)).toMatchObject({
      type: 'order.placed',
      data: { key: 'a', n: 1 },
      metadata: { id: 'x', source: '/test', correlationId: 'c', key: 'a', version: 1 },
    });
    await world.time.advance(1_000);
    expect(seam.sent).toEqual([]);
    expect(world.broker.topics.size).toBe(0);
  });

  it('makes that of a command for its queue, with prefix and delay', async () => {
    const world = new World();
    const { bus } = world.process(undefined, { prefix: 'staging' });
    const message = await bus.prepareSend(invoices, Render, { n: 1 }, { delayMs: 5_000 });
    expect(message).toMatchObject({
      target: { queue: 'staging.invoices', lane: 'work' },
      type: 'invoice.render',
      notBefore: world.time.now() + 5_000,
    });
  });

  it('refuses what publish and send refuse', async () => {
    const world = new World({ capabilities: { maxMessageBytes: 32_768 } });
    const { bus } = world.process([notes]);
    await expect(bus.prepare(Noted, { n: 'x' } as never)).rejects.toMatchObject({ code: 'INVALID_MESSAGE' });
    await expect(bus.prepare(Placed, { key: 'a', n: 1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(bus.prepareSend(invoices, Render, { n: 1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(bus.prepare(Noted, { n: 1, text: 'x'.repeat(40_000) })).rejects.toMatchObject({ code: 'TOO_LARGE' });
  });

  it('works while the broker is down', async () => {
    const world = new World();
    const { bus } = world.process();
    world.broker.stop();
    expect(await bus.prepare(Noted, { n: 1 })).toMatchObject({ type: 'note.taken' });
  });
});

describe('dispatch', () => {
  it('sends what was prepared, in order of each key', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    const batch = await Promise.all(
      range(50).map((n) => bus.prepare(Placed, { key: `k${n % 3}`, n }, { id: `p${n}` })),
    );
    await bus.dispatch(batch);
    for (const key of [0, 1, 2]) {
      expect(seam.sent.map(({ id }) => id).filter((id) => Number(id.slice(1)) % 3 === key)).toEqual(
        range(50)
          .filter((n) => n % 3 === key)
          .map((n) => `p${n}`),
      );
    }
  });

  it('may be repeated: the same ids are swallowed by a broker that remembers them', async () => {
    const world = new World({ deduplicationMs: 60_000 });
    const { bus } = world.process();
    const batch = await Promise.all(range(5).map((n) => bus.prepare(Noted, { n })));
    await bus.dispatch(batch);
    await bus.dispatch(batch);
    expect(world.queue(notes).ready).toBe(5);
  });

  it('takes what was kept as JSON between two processes', async () => {
    const world = new World();
    const message = await world.process().bus.prepare(Noted, { n: 1 });
    const kept = JSON.stringify({ ...message, body: Buffer.from(message.body).toString('base64') });
    const read = JSON.parse(kept) as typeof message & { body: string };
    await world.process().bus.dispatch([{ ...read, body: new Uint8Array(Buffer.from(read.body, 'base64')) }]);
    expect(world.queue(notes).ready).toBe(1);
  });

  it('rejects with BatchError naming exactly those that failed', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.send(invoices, Render, { n: 0 });
    const batch = await Promise.all([
      bus.prepare(Noted, { n: 1 }),
      bus.prepareSend(invoices, Render, { n: 1 }),
      bus.prepare(Noted, { n: 2 }),
      bus.prepareSend(invoices, Render, { n: 2 }),
    ]);
    world.broker.queues.delete('invoices');
    const error: unknown = await bus.dispatch(batch).catch((thrown: unknown) => thrown);
    expect(BatchError.is(error)).toBe(true);
    expect(error).toMatchObject({
      code: 'NOT_FOUND',
      failures: [{ index: 1, error: { code: 'NOT_FOUND' } }, { index: 3 }],
    });
    expect(world.queue(notes).ready).toBe(2);
  });

  it('waits for a broker that is down, until its signal aborts', async () => {
    const world = new World();
    const { bus } = world.process();
    const batch = [await bus.prepare(Noted, { n: 1 })];
    world.broker.stop();
    const stop = new AbortController();
    const dispatching = bus.dispatch(batch, { signal: stop.signal });
    await world.time.advance(5_000);
    stop.abort(new Error('enough'));
    await expect(dispatching).rejects.toMatchObject({ name: 'BatchError', failures: [{ index: 0 }] });
  });

  it('of nothing does nothing, and is refused after close', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.dispatch([]);
    const message = await bus.prepare(Noted, { n: 1 });
    await bus.close();
    await expect(bus.dispatch([message])).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('of a late delay sends at once', async () => {
    const world = new World();
    const { bus } = world.process();
    const message = await bus.prepareSend(invoices, Render, { n: 1 }, { delayMs: 5_000 });
    await world.time.advance(60_000);
    await bus.dispatch([message]);
    expect(world.queue(invoices)).toMatchObject({ ready: 1, delayed: 0 });
  });
});
