import { describe, expect, it } from 'vitest';
import { type HandleScope, type Middleware, Reject, slot } from '../../src/index.ts';
import {
  cloudEvent,
  gate,
  invoices,
  ledger,
  letters,
  never,
  notes,
  Noted,
  Placed,
  range,
  Render,
  World,
} from './kit.ts';

const decoder = new TextDecoder();
const reverse = (bytes: Uint8Array): Uint8Array => bytes.toReversed();
const xor =
  (mask: number) =>
  (bytes: Uint8Array): Uint8Array =>
    bytes.map((byte) => byte ^ mask);

function around(name: string, log: string[]): Middleware {
  return {
    name,
    async handle(scope, next) {
      log.push(`${name} in ${scope.attempt}`);
      try {
        await next();
        log.push(`${name} out`);
      } catch (error) {
        log.push(`${name} threw ${(error as Error).message}`);
        throw error;
      }
    },
  };
}

describe('handle', () => {
  it('is around every attempt, the first outermost', async () => {
    const world = new World();
    const log: string[] = [];
    const { bus } = world.process(undefined, { middleware: [around('outer', log), around('inner', log)] });
    await bus.consume(notes, {
      'note.taken': (_data, { attempt }) => {
        log.push(`handler ${attempt}`);
        if (attempt === 1) throw new Error('no');
      },
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(2_000);
    expect(log).toEqual([
      'outer in 1',
      'inner in 1',
      'handler 1',
      'inner threw no',
      'outer threw no',
      'outer in 2',
      'inner in 2',
      'handler 2',
      'inner out',
      'outer out',
    ]);
  });

  it('that does not call next accepts', async () => {
    const world = new World();
    const seenIds = new Set<string>();
    const inbox: Middleware = {
      name: 'inbox',
      async handle({ message }, next) {
        if (seenIds.has(message.metadata.id)) return;
        seenIds.add(message.metadata.id);
        await next();
      },
    };
    const { bus } = world.process(undefined, { middleware: [inbox] });
    const handled: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) });
    for (const n of [1, 2]) await bus.publish(Noted, { n }, { id: 'same' });
    await world.time.advance(100);
    expect(handled).toEqual([1]);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('that throws has failed the attempt, and may reject', async () => {
    const world = new World();
    const strict: Middleware = { name: 'strict', handle: () => Promise.reject(new Reject('not today')) };
    const { bus } = world.process(undefined, { middleware: [strict] });
    await bus.consume(notes, { 'note.taken': () => undefined });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    expect(await letters(bus, notes)).toMatchObject([{ reason: 'rejected', error: { message: 'not today' } }]);
  });

  it('may swallow what the handler throws: that accepts', async () => {
    const world = new World();
    const calm: Middleware = { name: 'calm', handle: (_scope, next) => next().catch(() => undefined) };
    const { bus } = world.process(undefined, { middleware: [calm] });
    await bus.consume(notes, {
      'note.taken': () => {
        throw new Error('no');
      },
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10_000);
    expect(world.queue(notes)).toEqual({ ready: 0, inFlight: 0, delayed: 0, dead: 0 });
  });

  it('sees the message decoded, and is not asked about what cannot be', async () => {
    const world = new World();
    const scopes: HandleScope[] = [];
    const { bus } = world.process(undefined, {
      middleware: [{ name: 'see', handle: (scope, next) => (scopes.push(scope), next()) }],
    });
    await bus.consume(notes, { 'note.taken': () => undefined });
    await bus.publish(Noted, { n: 7 }, { id: 'a' });
    await world
      .raw()
      .send(
        [cloudEvent('notes', { id: 'unfit', data: 'no' }), cloudEvent('notes', { id: 'none', specversion: '9' })],
        never,
      );
    await world.time.advance(100);
    expect(scopes).toHaveLength(1);
    expect(scopes[0]).toMatchObject({
      queue: 'notes',
      attempt: 1,
      redelivered: false,
      message: { type: 'note.taken', data: { n: 7 }, metadata: { id: 'a' } },
    });
    expect(scopes[0]?.signal.aborted).toBe(false);
  });

  it('may take out what the handler sent and dispatch it itself', async () => {
    const world = new World();
    const stored: string[] = [];
    const outbox: Middleware = {
      name: 'outbox',
      async handle(scope, next) {
        await next();
        for (const { type, id, target } of await scope.takeOutgoing()) {
          stored.push(`${type} ${id} ${JSON.stringify(target)}`);
        }
      },
    };
    const { bus, seam } = world.process(undefined, { middleware: [outbox] });
    await bus.consume(notes, {
      'note.taken': ({ n }, { send, publish }) => {
        send(invoices, Render, { n }, { id: 'r' });
        publish(Placed, { key: 'a', n }, { id: 'p' });
      },
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(100);
    expect(stored).toEqual([
      'invoice.render r {"queue":"invoices","lane":"work"}',
      'order.placed p {"topic":"orders"}',
    ]);
    expect(seam.sent).toHaveLength(1);
    expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
  });

  it('passes values to handlers through slots', async () => {
    const world = new World();
    const tenant = slot<{ readonly name: string }>('tenant');
    const same = slot<{ readonly name: string }>('tenant');
    const seen: unknown[] = [];
    const { bus } = world.process(undefined, {
      middleware: [
        { name: 'set', handle: (scope, next) => (scope.set(tenant, { name: `t${scope.attempt}` }), next()) },
        { name: 'read', handle: (scope, next) => (seen.push(scope.get(tenant)?.name), next()) },
      ],
    });
    await bus.consume(notes, {
      'note.taken': (_data, { get, attempt }) => {
        const value: { readonly name: string } | undefined = get(tenant);
        seen.push(value?.name, get(same));
        if (attempt === 1) throw new Error('no');
      },
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(2_000);
    expect(seen).toEqual(['t1', 't1', undefined, 't2', 't2', undefined]);
  });
});

describe('dispatch', () => {
  it('is around every hand-over, first outermost, also of copies and of what handlers send', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    const log: string[] = [];
    const spy = (name: string): Middleware => ({
      name,
      async dispatch(batch, next) {
        log.push(...batch.map(({ id }) => `${name} ${id.replace(/^[0-9a-f-]{36}/, 'uuid')}`));
        await next(batch);
      },
    });
    const { bus } = world.process(undefined, { middleware: [spy('outer'), spy('inner')] });
    await bus.consume(notes, {
      'note.taken': (_data, { attempt, send }) => {
        if (attempt === 1) throw new Error('no');
        send(invoices, Render, { n: 1 });
      },
    });
    await bus.consume(invoices, {
      'invoice.render': () => {
        throw new Reject('no');
      },
    });
    await bus.publish(Noted, { n: 1 }, { id: 'a' });
    await world.time.advance(3_000);
    expect(log).toEqual([
      'outer a',
      'inner a',
      'outer a#a2',
      'inner a#a2',
      'outer uuid',
      'inner uuid',
      'outer uuid#d',
      'inner uuid#d',
    ]);
  });

  it('may add to what goes out, and sees it encoded', async () => {
    const world = new World();
    const stamp: Middleware = {
      name: 'stamp',
      dispatch: (batch, next) =>
        next(
          batch.map((message) => ({ ...message, headers: { ...message.headers, stamp: String(message.body.length) } })),
        ),
    };
    const { bus, seam } = world.process(undefined, { middleware: [stamp] });
    await bus.publish(Noted, { n: 1 });
    expect(seam.sent[0]?.headers).toEqual({ stamp: String(seam.sent[0]?.body.length) });
  });

  it('that refuses is a refused publish, with its reason', async () => {
    const world = new World();
    const { bus, seam } = world.process(undefined, {
      middleware: [{ name: 'closed', dispatch: () => Promise.reject(new Error('rate limit')) }],
    });
    const refused = expect(bus.publish(Noted, { n: 1 })).rejects.toThrow('rate limit');
    await world.time.advance(30_000);
    await refused;
    expect(seam.sent).toEqual([]);
  });

  it('that refuses a copy for a while loses nothing', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    let open = false;
    const gatekeeper: Middleware = {
      name: 'gate',
      dispatch: (batch, next) =>
        open || batch.every(({ id }) => !id.includes('#')) ? next(batch) : Promise.reject(new Error('not now')),
    };
    const { bus } = world.process(undefined, { middleware: [gatekeeper] });
    await bus.consume(notes, {
      'note.taken': () => {
        throw new Reject('no');
      },
    });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(10_000);
    expect(world.queue(notes)).toMatchObject({ inFlight: 1, dead: 0 });
    open = true;
    await world.time.advance(10_000);
    expect(world.queue(notes)).toMatchObject({ inFlight: 0, dead: 1 });
  });
});

describe('codec', () => {
  const codec = (name: string, change: (bytes: Uint8Array) => Uint8Array, later: boolean): Middleware => ({
    name,
    codec: {
      encode(body, headers) {
        headers[`x-${name}`] = String(Object.keys(headers).length);
        return later ? Promise.resolve(change(body)) : change(body);
      },
      decode: (body) => (later ? Promise.resolve(change(body)) : change(body)),
    },
  });

  it.each([[false], [true]])('is applied in order and undone in reverse, asynchronous %s', async (later) => {
    const world = new World();
    const { bus, seam } = world.process(undefined, {
      middleware: [codec('first', reverse, later), codec('second', xor(0x55), later)],
    });
    const handled: unknown[] = [];
    await bus.consume(notes, { 'note.taken': (data) => void handled.push(data) });
    await bus.publish(Noted, { n: 1, text: 'ä😀' });
    await world.time.advance(100);
    expect(handled).toEqual([{ n: 1, text: 'ä😀' }]);
    const wire = seam.sent[0];
    if (wire === undefined) throw new Error('nothing was sent');
    expect(decoder.decode(reverse(xor(0x55)(wire.body)))).toContain('"note.taken"');
    expect(wire.headers).toMatchObject({ 'x-first': '0', 'x-second': '1' });
  });

  it('is not applied again to copies: retries and letters move the bytes as they came', async () => {
    const world = new World({ capabilities: { reject: 'none' } });
    const { bus, seam } = world.process(undefined, { middleware: [codec('one', xor(0x55), true)] });
    const attempts: number[] = [];
    await bus.consume(
      notes,
      { 'note.taken': (_data, { attempt }) => (attempts.push(attempt), Promise.reject(new Error('no'))) },
      { retry: { delaysMs: [100] } },
    );
    await bus.publish(Noted, { n: 1 }, { id: 'a' });
    await world.time.advance(1_000);
    expect(attempts).toEqual([1, 2]);
    expect(seam.sent.map(({ id }) => id)).toEqual(['a', 'a#a2', 'a#d']);
    for (const { body } of seam.sent) expect(body).toEqual(seam.sent[0]?.body);
  });

  it('is undone for a listing of dead letters too, so that a letter can be read and filtered', async () => {
    const world = new World();
    const { bus } = world.process(undefined, { middleware: [codec('one', xor(0x55), true)] });
    await bus.consume(notes, {
      'note.taken': () => {
        throw new Reject('no');
      },
    });
    await bus.publish(Noted, { n: 1, text: 'hidden' }, { id: 'a' });
    await world.time.advance(100);
    expect(await letters(bus, notes)).toMatchObject([
      { id: 'a', type: 'note.taken', message: { data: { n: 1, text: 'hidden' } } },
    ]);
  });

  it('keeps order while some bodies take longer than others', async () => {
    const world = new World();
    const slow: Middleware = {
      name: 'slow',
      codec: {
        encode: (body) => body,
        decode: async (body) => {
          if (decoder.decode(body).includes('"n":3')) {
            await new Promise<void>((resolve) => world.time.after(50, resolve));
          }
          return body;
        },
      },
    };
    const { bus } = world.process(undefined, { middleware: [slow] });
    const handled: number[] = [];
    await bus.consume(ledger, { 'order.placed': ({ n }) => void handled.push(n), 'order.paid': () => undefined });
    for (const n of range(30)) await bus.publish(Placed, { key: 'a', n });
    await world.time.advance(5_000);
    expect(handled).toEqual(range(30));
  });

  it.each([[false], [true]])('that fails makes a message undecodable, asynchronous %s', async (later) => {
    const world = new World();
    const broken: Middleware = {
      name: 'broken',
      codec: {
        encode: (body) => body,
        decode(body) {
          if (!decoder.decode(body).includes('"n":2')) return body;
          if (later) return Promise.reject(new Error('wrong key'));
          throw new Error('wrong key');
        },
      },
    };
    const { bus } = world.process(undefined, { middleware: [broken] });
    const handled: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) });
    for (const n of [1, 2, 3]) await bus.publish(Noted, { n });
    await world.time.advance(100);
    expect(handled).toEqual([1, 3]);
    expect(await letters(bus, notes)).toMatchObject([
      { reason: 'undecodable', error: { message: expect.stringContaining('wrong key') as string } },
    ]);
  });

  it('that fails to encode is a refused publish', async () => {
    const world = new World();
    const broken = (): never => {
      throw new Error('no key');
    };
    const { bus } = world.process(undefined, {
      middleware: [{ name: 'broken', codec: { encode: broken, decode: (body) => body } }],
    });
    await expect(bus.publish(Noted, { n: 1 })).rejects.toThrow('no key');
  });

  it('counts against the limit with what it makes of a body', async () => {
    const world = new World({ capabilities: { maxMessageBytes: 32_768 } });
    const grow: Middleware = {
      name: 'grow',
      codec: { encode: (body) => new Uint8Array([...body, ...new Uint8Array(30_000)]), decode: (body) => body },
    };
    const { bus } = world.process(undefined, { middleware: [grow] });
    await expect(bus.publish(Noted, { n: 1 })).rejects.toMatchObject({ code: 'TOO_LARGE' });
  });

  it('that is slow stops the consumer for no longer than it takes', async () => {
    const world = new World();
    const reading = gate();
    const slow: Middleware = {
      name: 'slow',
      codec: { encode: (body) => body, decode: async (body) => (await reading.opened, body) },
    };
    const { bus } = world.process(undefined, { middleware: [slow] });
    const handled: number[] = [];
    await bus.consume(notes, { 'note.taken': ({ n }) => void handled.push(n) });
    await bus.publish(Noted, { n: 1 });
    await world.time.advance(60_000);
    expect(handled).toEqual([]);
    reading.open();
    await world.time.advance(100);
    expect(handled).toEqual([1]);
    expect(world.queue(notes)).toMatchObject({ ready: 0, inFlight: 0 });
  });
});
