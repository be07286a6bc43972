import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { defineEvent, type Metadata } from '../../src/index.ts';
import { archive, gate, invoices, ledger, notes, Noted, Placed, range, Render, unavailable, World } from './kit.ts';

const Unbound = defineEvent('nobody.listens', z.object({}), { topic: 'void' });
const codeOf = (error: unknown): string => (error as { code: string }).code;

describe('publish', () => {
  it('resolves only after the broker stored it', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    await bus.provision();
    const storing = gate();
    seam.beforeSend = () => storing.opened;
    let resolved = false;
    const publishing = bus.publish(Noted, { n: 1 }).then(() => (resolved = true));
    await world.time.advance(5_000);
    expect(resolved).toBe(false);
    expect(world.queue(notes).ready).toBe(0);
    storing.open();
    await publishing;
    expect(world.queue(notes).ready).toBe(1);
  });

  it('gives every queue of the topic its own copy', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.publish(Noted, { n: 1 });
    expect([world.queue(notes).ready, world.queue(archive).ready, world.queue(invoices).ready]).toEqual([1, 1, 0]);
  });

  it('resolves also where no queue is bound', async () => {
    const world = new World();
    const { bus } = world.process([Unbound]);
    await bus.publish(Unbound, {});
    expect(world.broker.topics.has('void')).toBe(true);
  });

  it('rejects with NOT_FOUND where the topic is missing, naming it', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.publish(Noted, { n: 1 });
    world.broker.topics.delete('notes');
    await expect(bus.publish(Noted, { n: 1 })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('notes') as string,
    });
  });

  it('rejects with NOT_FOUND where nothing may be created, naming what is missing', async () => {
    const world = new World();
    const { bus } = world.process(undefined, { provision: 'verify' });
    await expect(bus.publish(Noted, { n: 1 })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('"notes"') as string,
    });
    expect(world.broker.topics.size).toBe(0);
  });

  it('refuses data that does not fit before anything is sent', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    await expect(bus.publish(Noted, { n: 'one' } as never)).rejects.toMatchObject({
      code: 'INVALID_MESSAGE',
      message: expect.stringContaining('n:') as string,
    });
    await expect(bus.publish(Placed, { key: '', n: 1 })).rejects.toMatchObject({
      code: 'INVALID_MESSAGE',
      message: expect.stringContaining('key') as string,
    });
    expect(seam.sent).toEqual([]);
  });

  it('refuses what is not in `uses`, and a command', async () => {
    const world = new World();
    const { bus } = world.process([notes]);
    await expect(bus.publish(Unbound, {})).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(bus.publish(Render as never, { n: 1 } as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(bus.send(invoices, Render, { n: 1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(bus.send(notes as never, Noted as never, { n: 1 } as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it.each(['', 'has space', 'ünicode', 'x'.repeat(97), 'tab\t'])('refuses the id %j', async (id) => {
    const world = new World();
    const { bus } = world.process();
    await expect(bus.publish(Noted, { n: 1 }, { id })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it.each([Number.NaN, -1, Number.POSITIVE_INFINITY])('refuses the delay %d', async (delayMs) => {
    const world = new World();
    const { bus } = world.process();
    await expect(bus.send(invoices, Render, { n: 1 }, { delayMs })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('keeps the order of one key through failures, and other keys flow meanwhile', async () => {
    const world = new World({ limits: { send: { count: 3 } } });
    const { bus, seam } = world.process();
    await bus.provision();
    let refusals = 0;
    seam.refuse = ({ id }) => (id === 'a3' && refusals++ < 4 ? unavailable() : undefined);
    const all = range(10).flatMap((n) =>
      ['a', 'b', 'c'].map((key) => bus.publish(Placed, { key, n }, { id: `${key}${n}` })),
    );
    await world.time.advance(0);
    expect(seam.sent.map(({ id }) => id).filter((id) => id.startsWith('a'))).toEqual(['a0', 'a1', 'a2']);
    expect(seam.sent).toHaveLength(23);
    await world.time.advance(10_000);
    await Promise.all(all);
    for (const key of ['a', 'b', 'c']) {
      expect(seam.sent.map(({ id }) => id).filter((id) => id.startsWith(key))).toEqual(
        range(10).map((n) => `${key}${n}`),
      );
    }
  });
});

describe('send', () => {
  it('goes to its one queue', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.send(invoices, Render, { n: 1 });
    expect([world.queue(invoices).ready, world.queue(notes).ready]).toEqual([1, 0]);
  });

  it.each([0, 60_000])(
    'rejects with NOT_FOUND where the queue is missing, also with a delay of %d ms',
    async (delayMs) => {
      const world = new World();
      const { bus } = world.process();
      await bus.send(invoices, Render, { n: 0 });
      world.broker.queues.delete('invoices');
      await expect(bus.send(invoices, Render, { n: 1 }, { delayMs })).rejects.toMatchObject({
        code: 'NOT_FOUND',
        message: expect.stringContaining('invoices') as string,
      });
    },
  );

  it('that is refused disturbs no other in its batch', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.send(invoices, Render, { n: 0 });
    world.broker.queues.delete('invoices');
    const results = await Promise.allSettled([
      bus.publish(Noted, { n: 1 }),
      bus.send(invoices, Render, { n: 1 }),
      bus.publish(Noted, { n: 2 }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(world.queue(notes).ready).toBe(2);
  });
});

describe('a broker that is down', () => {
  it('is waited for, also when it never was up', async () => {
    const world = new World();
    const { bus } = world.process();
    world.broker.stop();
    const publishing = Promise.all(range(10).map((n) => bus.publish(Noted, { n })));
    await world.time.advance(20_000);
    expect(bus.health()).toMatchObject({ status: 'down', publisher: { pending: 10, error: { code: 'UNAVAILABLE' } } });
    world.broker.start();
    await world.time.advance(6_000);
    await publishing;
    expect(world.queue(notes).ready).toBe(10);
    expect(bus.health()).toMatchObject({ status: 'up', publisher: { pending: 0 } });
  });

  it('is waited for 30 s: then UNAVAILABLE, and it is not stored later', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.provision();
    world.broker.stop();
    let code: string | undefined;
    bus.publish(Noted, { n: 1 }).catch((error: unknown) => (code = codeOf(error)));
    await world.time.advance(29_999);
    expect(code).toBeUndefined();
    await world.time.advance(1);
    expect(code).toBe('UNAVAILABLE');
    world.broker.start();
    await world.time.advance(60_000);
    expect(world.queue(notes).ready).toBe(0);
  });

  it('is waited for as long as `sendTimeoutMs` says', async () => {
    const world = new World();
    const { bus } = world.process(undefined, { sendTimeoutMs: 1_000 });
    world.broker.stop();
    const refused = expect(bus.publish(Noted, { n: 1 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      message: expect.stringContaining('1000 ms') as string,
    });
    await world.time.advance(1_000);
    await refused;
  });

  it('that does not answer is a TIMEOUT: it may be stored', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    await bus.provision();
    const answering = gate();
    seam.afterSend = () => answering.opened;
    const refused = expect(bus.publish(Noted, { n: 1 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    await world.time.advance(30_000);
    await refused;
    expect(world.queue(notes).ready).toBe(1);
    seam.afterSend = undefined;
    answering.open();
    await bus.publish(Noted, { n: 2 });
  });

  it('that answers TIMEOUT and then refuses is a TIMEOUT still', async () => {
    const world = new World();
    const { bus, seam } = world.process(undefined, { sendTimeoutMs: 2_000 });
    await bus.provision();
    const { WaybillError } = await import('@waybill/core/driver');
    let calls = 0;
    seam.refuse = () => (calls++ === 0 ? new WaybillError('TIMEOUT', 'perhaps') : unavailable());
    const refused = expect(bus.publish(Noted, { n: 1 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    await world.time.advance(2_000);
    await refused;
  });

  it('is sent the same message again, with the same id', async () => {
    const world = new World({ deduplicationMs: 60_000 });
    const { bus, seam } = world.process();
    await bus.provision();
    let calls = 0;
    seam.afterSend = () => {
      if (calls++ < 3) throw unavailable();
    };
    const publishing = bus.publish(Noted, { n: 1 });
    await world.time.advance(5_000);
    await publishing;
    expect(new Set(seam.sent.map(({ id }) => id)).size).toBe(1);
    expect(seam.sent).toHaveLength(4);
    expect(world.queue(notes).ready).toBe(1);
  });

  it('does not let what waits grow without end', async () => {
    const world = new World();
    const { bus } = world.process(undefined, { maxPendingBytes: 10_000 });
    world.broker.stop();
    const codes: string[] = [];
    for (const n of range(100)) {
      bus.publish(Noted, { n, text: 'x'.repeat(500) }).catch((error: unknown) => codes.push(codeOf(error)));
    }
    await world.time.advance(10);
    expect(codes.length).toBeGreaterThan(80);
    expect(new Set(codes)).toEqual(new Set(['THROTTLED']));
    expect(bus.health().publisher.pending).toBe(100 - codes.length);
  });
});

describe('abort', () => {
  it('of a signal that is aborted sends nothing', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.provision();
    await expect(bus.publish(Noted, { n: 1 }, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
    await world.time.advance(1_000);
    expect(world.queue(notes).ready).toBe(0);
  });

  it('ends the wait for a broker that is down, and it is not stored later', async () => {
    const world = new World();
    const { bus } = world.process();
    await bus.provision();
    world.broker.stop();
    const stop = new AbortController();
    const publishing = bus.send(invoices, Render, { n: 1 }, { signal: stop.signal });
    await world.time.advance(1_000);
    stop.abort(new Error('enough'));
    await expect(publishing).rejects.toThrow('enough');
    world.broker.start();
    await world.time.advance(60_000);
    expect(world.queue(invoices).ready).toBe(0);
    expect(bus.health().publisher.pending).toBe(0);
  });

  it('of one message lets the next of its key go', async () => {
    const world = new World();
    const { bus, seam } = world.process();
    await bus.provision();
    seam.refuse = ({ id }) => (id === 'first' ? unavailable() : undefined);
    const stop = new AbortController();
    const first = bus.publish(Placed, { key: 'a', n: 1 }, { id: 'first', signal: stop.signal });
    const second = bus.publish(Placed, { key: 'a', n: 2 }, { id: 'second' });
    await world.time.advance(1_000);
    expect(world.queue(ledger).ready).toBe(0);
    stop.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    await world.time.advance(5_000);
    await second;
    expect(world.queue(ledger).ready).toBe(1);
  });
});

describe('size', () => {
  it.each(['structured', 'binary'] as const)("is the broker's limit less 8 KiB, %s", async (envelope) => {
    const world = new World({ capabilities: { maxMessageBytes: 32_768, envelope } });
    const { bus, seam } = world.process();
    let [low, high] = [0, 40_000];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const code = await bus.publish(Noted, { n: 1, text: 'x'.repeat(middle) }).then(() => 'stored', codeOf);
      expect(code).toMatch(/^(stored|TOO_LARGE)$/);
      if (code === 'stored') low = middle;
      else high = middle - 1;
    }
    const largest = seam.sent.reduce((most, { body, headers }) => {
      const size =
        body.length + Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
      return Math.max(most, size);
    }, 0);
    expect(largest).toBeLessThanOrEqual(32_768 - 8_192);
    expect(largest).toBeGreaterThan(32_768 - 8_192 - 256);
  });

  it('is refused with what to do, and nothing is sent', async () => {
    const world = new World({ capabilities: { maxMessageBytes: 32_768 } });
    const { bus, seam } = world.process();
    await expect(bus.publish(Noted, { n: 1, text: 'x'.repeat(30_000) })).rejects.toMatchObject({
      code: 'TOO_LARGE',
      retryable: false,
    });
    expect(seam.sent).toEqual([]);
  });

  it('counts bytes, not characters', async () => {
    const world = new World({ capabilities: { maxMessageBytes: 32_768 } });
    const { bus } = world.process();
    await expect(bus.publish(Noted, { n: 1, text: '😀'.repeat(6_500) })).rejects.toMatchObject({ code: 'TOO_LARGE' });
    await bus.publish(Noted, { n: 1, text: '😀'.repeat(5_500) });
  });
});

describe('metadata', () => {
  async function handled(
    options: Parameters<ReturnType<World['process']>['bus']['publish']>[2] = {},
  ): Promise<Metadata> {
    const world = new World();
    const { bus } = world.process();
    const seen: Metadata[] = [];
    await bus.consume(notes, { 'note.taken': (_data, { metadata }) => void seen.push(metadata) });
    await bus.publish(Noted, { n: 1 }, options);
    await world.time.advance(10);
    const [metadata] = seen;
    if (metadata === undefined) throw new Error('nothing was handled');
    return metadata;
  }

  it('has a generated id, the time, the source and the version', async () => {
    const metadata = await handled();
    expect(metadata).toMatchObject({
      source: '/test',
      version: 1,
      time: '2026-01-01T00:00:00.000Z',
      correlationId: metadata.id,
    });
    expect(metadata.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(metadata).not.toHaveProperty('causationId');
  });

  it('has what it was given', async () => {
    const given = {
      id: 'order:42',
      correlationId: 'c',
      causationId: 'x',
      sequence: '0007',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      tracestate: 'a=1',
      extensions: { tenant: 'blue', count: 3, urgent: true },
    };
    expect(await handled(given)).toMatchObject(given);
  });

  it('refuses an extension that is one of our own', async () => {
    await expect(handled({ extensions: { id: 'x' } })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(handled({ extensions: { Tenant: 'x' } })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('carries correlation and causation on through handlers', async () => {
    const world = new World();
    const { bus } = world.process();
    const seen: Metadata[] = [];
    await bus.consume(notes, {
      'note.taken': (_data, { metadata, send }) => (seen.push(metadata), send(invoices, Render, { n: 1 })),
    });
    await bus.consume(invoices, {
      'invoice.render': (_data, { metadata, publish }) => (seen.push(metadata), publish(Placed, { key: 'a', n: 1 })),
    });
    await bus.consume(ledger, {
      'order.placed': (_data, { metadata }) => void seen.push(metadata),
      'order.paid': () => undefined,
    });
    await bus.publish(Noted, { n: 1 }, { correlationId: 'story' });
    await world.time.advance(100);
    expect(seen.map(({ correlationId }) => correlationId)).toEqual(['story', 'story', 'story']);
    expect(seen.map(({ causationId }) => causationId)).toEqual([undefined, seen[0]?.id, seen[1]?.id]);
    expect(new Set(seen.map(({ id }) => id)).size).toBe(3);
  });

  it('is the same in every copy and at every attempt', async () => {
    const world = new World();
    const { bus } = world.process();
    const seen: Metadata[] = [];
    const handler = (_data: unknown, { metadata, attempt }: { metadata: Metadata; attempt: number }): void => {
      seen.push(metadata);
      if (attempt < 3) throw new Error('no');
    };
    await bus.consume(notes, { 'note.taken': handler });
    await bus.consume(archive, { 'note.taken': handler });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10_000);
    expect(seen).toHaveLength(6);
    for (const metadata of seen) expect(metadata).toEqual(seen[0]);
  });
});
