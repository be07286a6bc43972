// From a contract and data to wire form: what `publish` and `send` put into the envelope.
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Capabilities } from '../../src/driver/index.ts';
import {
  type Contract,
  decode,
  defineCommand,
  defineEvent,
  type Metadata,
  type OutgoingMessage,
  WaybillError,
} from '../../src/index.ts';
import { readBookkeeping } from '../../src/failure/bookkeeping.ts';
import { Preparer, type PrepareOptions, type PrepareRequest, type SendOptions } from '../../src/runtime/prepare.ts';
import { rejection } from '../contract/kit.ts';

const NOW = Date.UTC(2026, 0, 1, 12, 30, 0, 7);
const MAX = 100_000;
const capabilities: Capabilities = {
  ordering: 'key',
  filtersTypes: true,
  reject: 'none',
  envelope: 'structured',
  maxDelayMs: 60_000,
  delayErrorMs: 0,
  maxHoldMs: Infinity,
  maxMessageBytes: MAX,
  maxDeliveries: 100,
};
const Order = defineEvent('order.placed', z.object({ id: z.string(), note: z.string().default('none') }), {
  topic: 'orders',
});
const Keyed = Order.evolve(z.object({ id: z.string() }), ({ id }) => ({ id })).keyedBy(({ id }) => id);
const Render = defineCommand('invoice.render', z.object({ id: z.string() }));
const anything = defineCommand('anything', z.unknown());

function preparer(options: Partial<PrepareOptions> & { now?: number } = {}): Preparer {
  const { now = NOW, ...more } = options;
  const clock = { now: () => now, after: () => () => undefined };
  return new Preparer({
    source: '/orders',
    prefix: '',
    clock,
    driver: { name: 'memory', capabilities },
    codec: undefined,
    ...more,
  });
}

interface Given {
  readonly options?: SendOptions;
  readonly origin?: NonNullable<PrepareRequest['origin']>;
  readonly by?: Preparer;
}

/** An event for its topic, a command for the queue `invoices`. Rejects where it throws. */
async function prepared(contract: Contract, data: unknown, given: Given = {}): Promise<OutgoingMessage> {
  const { by = preparer(), ...more } = given;
  return by.prepare({ contract, data, ...(contract.kind === 'command' ? { queue: 'invoices' } : {}), ...more });
}

function metadataOf(message: OutgoingMessage): Metadata {
  return decode(message).metadata;
}

describe('prepare', () => {
  it('makes an event for its topic, with id, time, source and version', async () => {
    const message = await prepared(Order, { id: 'a' });
    expect(message).toMatchObject({ target: { topic: 'orders' }, type: 'order.placed', headers: {} });
    expect(message).not.toHaveProperty('key');
    expect(message).not.toHaveProperty('notBefore');
    const { id, ...rest } = metadataOf(message);
    expect(id).toMatch(/^[0-9a-f-]{14}7/);
    expect(message.id).toBe(id);
    expect(rest).toEqual({ source: '/orders', time: '2026-01-01T12:30:00.007Z', version: 1, correlationId: id });
  });

  it('makes a command for the work lane of its queue', async () => {
    expect((await prepared(Render, { id: 'a' })).target).toEqual({ queue: 'invoices', lane: 'work' });
  });

  it('carries the input of the schema, not its output', async () => {
    expect(decode(await prepared(Order, { id: 'a' })).data).toEqual({ id: 'a' });
  });

  it('writes the latest version and the key', async () => {
    const message = await prepared(Keyed, { id: 'customer-7' });
    expect(message.key).toBe('customer-7');
    expect(metadataOf(message)).toMatchObject({ version: 2, key: 'customer-7' });
  });

  it('writes every option into the envelope', async () => {
    const options = {
      id: 'my-id',
      correlationId: 'c',
      causationId: 'b',
      sequence: '07',
      traceparent: '00-a-b-01',
      tracestate: 'x=y',
      extensions: { tenant: 'acme', n: 1, subject: 's' },
    };
    const message = await prepared(Order, { id: 'a' }, { options });
    expect(message.id).toBe('my-id');
    expect(metadataOf(message)).toEqual({
      ...options,
      source: '/orders',
      time: '2026-01-01T12:30:00.007Z',
      version: 1,
    });
  });

  it('carries correlation and causation on from the message being handled, unless given', async () => {
    const metadata: Metadata = { id: 'in', source: '/x', time: '', version: 1, correlationId: 'c' };
    const origin = { id: 'made-of-in', metadata };
    expect(metadataOf(await prepared(Order, { id: 'a' }, { origin }))).toMatchObject({
      id: 'made-of-in',
      correlationId: 'c',
      causationId: 'in',
    });
    const given = { id: 'mine', correlationId: 'd', causationId: 'e' };
    expect(metadataOf(await prepared(Order, { id: 'a' }, { options: given, origin }))).toMatchObject(given);
  });

  it('writes headers instead where the driver says binary', async () => {
    const binary = preparer({ driver: { name: 'memory', capabilities: { ...capabilities, envelope: 'binary' } } });
    const message = await prepared(Order, { id: 'a' }, { by: binary });
    expect(message.contentType).toBe('application/json');
    expect(message.headers).toMatchObject({ 'ce-type': 'order.placed', 'ce-source': '/orders' });
    expect(decode(message)).toMatchObject({ type: 'order.placed', data: { id: 'a' } });
  });

  it('writes the time of the clock each time', async () => {
    let now = NOW;
    const clock = { now: () => now, after: () => () => undefined };
    const later = preparer({ clock });
    expect(metadataOf(await prepared(Order, { id: 'a' }, { by: later })).time).toBe('2026-01-01T12:30:00.007Z');
    now += 1_993;
    expect(metadataOf(await prepared(Order, { id: 'a' }, { by: later })).time).toBe('2026-01-01T12:30:02.000Z');
  });

  it('writes the time of a clock that starts at 0', async () => {
    expect(metadataOf(await prepared(Order, { id: 'a' }, { by: preparer({ now: 0 }) })).time).toBe(
      '1970-01-01T00:00:00.000Z',
    );
  });
});

describe('what prepare refuses', () => {
  it('is data that does not fit', async () => {
    expect(await rejection(prepared(Order, { id: 7 }))).toEqual({
      code: 'INVALID_MESSAGE',
      message: expect.stringMatching(/^"order\.placed" version 1 does not fit its schema: id: /) as unknown,
    });
  });

  it.each(['', ' ', 'a b', 'ä', 'a\n', 'x'.repeat(97)])('is the id %j', async (id) => {
    expect(await rejection(prepared(Order, { id: 'a' }, { options: { id } }))).toEqual({
      code: 'INVALID_ARGUMENT',
      message: `The id "${id}" is not 1 to 96 printable ASCII characters without spaces.`,
    });
  });

  it.each(['!', '~', 'invoice:7', 'x'.repeat(96)])('is not the id %j', async (id) => {
    expect((await prepared(Order, { id: 'a' }, { options: { id } })).id).toBe(id);
  });

  it('is an id that a copy of another message may have', async () => {
    expect((await rejection(prepared(Order, { id: 'a' }, { options: { id: 'invoice:7#a2' } }))).code).toBe(
      'INVALID_ARGUMENT',
    );
  });

  it('is a delay where the broker cannot delay', async () => {
    const by = preparer({ driver: { name: 'plain', capabilities: { ...capabilities, maxDelayMs: 0 } } });
    expect(await rejection(prepared(Render, { id: 'a' }, { by, options: { delayMs: 1 } }))).toEqual({
      code: 'UNSUPPORTED',
      message: 'plain cannot delay, so nothing can be sent with delayMs: drop it, or choose a broker that can.',
    });
    expect((await prepared(Render, { id: 'a' }, { by, options: { delayMs: 0 } })).notBefore).toBeUndefined();
  });

  it('is half of a surrogate pair where it must be a header', async () => {
    const options = { correlationId: 'a\ud800b' };
    const by = preparer({ driver: { name: 'memory', capabilities: { ...capabilities, envelope: 'binary' } } });
    expect(await rejection(prepared(Order, { id: 'a' }, { by, options }))).toEqual({
      code: 'INVALID_MESSAGE',
      message: '"correlationid" has half of a surrogate pair, which no header can carry.',
    });
    const whole = { correlationId: 'a\ud83d\ude00b' };
    expect((await prepared(Order, { id: 'a' }, { by, options: whole })).headers['ce-correlationid']).toBe('a😀b');
    expect(String(Buffer.from((await prepared(Order, { id: 'a' }, { options })).body))).toContain('a\\ud800b');
  });

  it.each([-1, Number.NaN, Infinity, '1 min'])('is the delay %j', async (delayMs) => {
    expect(await rejection(prepared(Render, { id: 'a' }, { options: { delayMs: delayMs as number } }))).toEqual({
      code: 'INVALID_ARGUMENT',
      message: `delayMs is ${delayMs}: give a number of ms from 0.`,
    });
  });

  it.each([
    'id',
    'data',
    'data_base64',
    'partitionkey',
    'dataversion',
    'Tenant',
    'a-b',
    '',
    '__proto__',
    'x'.repeat(41),
  ])('is the extension %j', async (name) => {
    expect(await rejection(prepared(Order, { id: 'a' }, { options: { extensions: { [name]: 'x' } } }))).toEqual({
      code: 'INVALID_ARGUMENT',
      message: `The extension "${name}" is no name of a-z and 0-9, or is one of Waybill's own.`,
    });
  });

  it.each([{ a: 1 }, null, undefined, Number.NaN])('is an extension of %j', async (value) => {
    expect(
      (await rejection(prepared(Order, { id: 'a' }, { options: { extensions: { tenant: value as never } } }))).code,
    ).toBe('INVALID_ARGUMENT');
  });

  it.each(['', 7, undefined, 'k'.repeat(129)])('is the key %j', async (key) => {
    const Odd = defineCommand('odd', z.object({})).keyedBy(() => key as string);
    expect(await rejection(prepared(Odd, {}))).toEqual({
      code: 'INVALID_MESSAGE',
      message: 'The key of "odd" must be text of 1 to 128 characters.',
    });
  });

  it('is what leaves no room for the bookkeeping of a dead letter, to the byte', async () => {
    const empty = await prepared(anything, '', { options: { id: 'a' } });
    const room = MAX - 8_192 - (empty.body.length + 'a'.length + 'anything'.length + empty.contentType.length);
    const fits = await prepared(anything, 'x'.repeat(room), { options: { id: 'a' } });
    expect(fits.body.length).toBe(empty.body.length + room);
    const refused = await rejection(prepared(anything, 'x'.repeat(room + 1), { options: { id: 'a' } }));
    expect(refused.code).toBe('TOO_LARGE');
    expect(refused.message).toBe(
      '"anything" has 91809 bytes on the wire; this broker takes 91808. Store the data elsewhere and send a reference.',
    );
  });

  it.each([
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    [
      'a circle',
      (() => {
        const circle: { self?: unknown } = {};
        circle.self = circle;
        return circle;
      })(),
    ],
    [
      'a toJSON that throws',
      {
        toJSON: () => {
          throw new Error('no');
        },
      },
    ],
  ])('is data that JSON has no form for: %s', async (_, data) => {
    expect((await rejection(prepared(anything, data))).code).toBe('INVALID_MESSAGE');
  });

  it('is what the schema throws at, as INVALID_MESSAGE like all that does not fit', async () => {
    const schema = {
      '~standard': {
        version: 1,
        vendor: 'x',
        validate: () => {
          throw new TypeError('no');
        },
      },
    } as const;
    expect((await rejection(prepared(defineCommand('a', schema), {}))).code).toBe('INVALID_MESSAGE');
  });

  it('is what keyedBy throws at, as INVALID_MESSAGE', async () => {
    const Odd = defineCommand('odd', z.object({})).keyedBy((data) => (data as unknown as { a: { b: string } }).a.b);
    expect((await rejection(prepared(Odd, {}))).code).toBe('INVALID_MESSAGE');
  });

  it('counts headers and what brokers keep beside the body', async () => {
    const by = preparer({
      driver: { name: 'memory', capabilities: { ...capabilities, envelope: 'binary', maxMessageBytes: 8_192 + 400 } },
    });
    expect((await prepared(anything, '', { by, options: { id: 'a' } })).body.length).toBe(2);
    const correlationId = 'c'.repeat(300);
    expect((await rejection(prepared(anything, '', { by, options: { id: 'a', correlationId } }))).code).toBe(
      'TOO_LARGE',
    );
  });

  it('counts headers in the bytes of their UTF-8', async () => {
    const by = preparer({
      driver: { name: 'memory', capabilities: { ...capabilities, envelope: 'binary', maxMessageBytes: 8_192 + 600 } },
    });
    const correlationId = '€'.repeat(200);
    expect((await rejection(prepared(anything, '', { by, options: { id: 'a', correlationId } }))).code).toBe(
      'TOO_LARGE',
    );
  });
});

describe('a delay', () => {
  const delayed = async (delayMs: number): Promise<OutgoingMessage> =>
    prepared(Render, { id: 'a' }, { options: { delayMs } });

  it('of 0 is none', async () => {
    expect(await delayed(0)).not.toHaveProperty('notBefore');
  });

  it('that the broker takes in one hop carries no time in the message', async () => {
    expect(await delayed(60_000)).toMatchObject({ notBefore: NOW + 60_000, headers: {} });
  });

  it('that is longer goes one hop and carries the time it waits for', async () => {
    const message = await delayed(150_000);
    expect(message.notBefore).toBe(NOW + 60_000);
    expect(readBookkeeping(message.headers['waybill'])).toEqual({
      attempt: 1,
      queue: 'invoices',
      notBefore: NOW + 150_000,
    });
  });
});

describe('a codec', () => {
  it('changes the body and may write headers', async () => {
    const codec = {
      encode: (body: Uint8Array, headers: Record<string, string>) => {
        headers['codec'] = 'reversed';
        return Uint8Array.from(body).toReversed();
      },
      decode: (body: Uint8Array) => Uint8Array.from(body).toReversed(),
    };
    const message = await prepared(Render, { id: 'a' }, { by: preparer({ codec }) });
    expect(message.headers).toEqual({ codec: 'reversed' });
    expect(decode({ ...message, body: codec.decode(message.body) }).data).toEqual({ id: 'a' });
  });

  it('that fails fails the publish', async () => {
    const codec = {
      encode: async () => {
        throw new WaybillError('UNAVAILABLE', 'no key service');
      },
      decode: (body: Uint8Array) => body,
    };
    expect((await rejection(prepared(Render, { id: 'a' }, { by: preparer({ codec }) }))).code).toBe('UNAVAILABLE');
  });
});
