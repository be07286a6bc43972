import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { CollectedSends } from '../../src/failure/collected-sends.ts';
import { type Contract, decode, defineCommand, defineEvent, type Metadata, type SendOptions } from '../../src/index.ts';
import { Preparer } from '../../src/runtime/prepare.ts';
import { refusal, rejection } from '../contract/kit.ts';
import { StillClock } from '../driver/kit.ts';

const Render = defineCommand('invoice.render', z.object({ id: z.string() }));
const Placed = defineEvent('order.placed', z.object({ id: z.string() }), { topic: 'orders' });
const Slow = defineCommand(
  'slow',
  z.object({ id: z.string() }).refine(async ({ id }) => id !== 'bad', 'is bad'),
);
const incoming: Metadata = { id: 'in-1', source: '/shop', time: '', version: 1, correlationId: 'c-1' };

function collected(queue = 'billing', from: Metadata = incoming): CollectedSends {
  const capabilities = {
    ordering: 'key',
    filtersTypes: true,
    reject: 'none',
    envelope: 'structured',
    maxDelayMs: 1_000,
    delayErrorMs: 0,
    maxHoldMs: 1_000,
    maxMessageBytes: 100_000,
    maxDeliveries: 100,
  } as const;
  return new CollectedSends(
    new Preparer({
      source: '/orders',
      prefix: '',
      clock: new StillClock(),
      driver: { name: 'memory', capabilities },
      codec: undefined,
    }),
    queue,
    from,
  );
}

function add(
  sends: CollectedSends,
  contract: Contract,
  queue: string | undefined,
  data: unknown,
  options?: SendOptions,
): void {
  sends.add({ contract, queue, data, options });
}

async function idsOf(sends: CollectedSends): Promise<readonly string[]> {
  return (await sends.take()).map(({ id }) => id);
}

describe('what a handler sends', () => {
  it('is taken out in its order, once', async () => {
    const sends = collected();
    expect(sends.empty).toBe(true);
    add(sends, Render, 'invoices', { id: 'a' });
    add(sends, Placed, undefined, { id: 'b' });
    expect(sends.empty).toBe(false);
    expect((await sends.take()).map(({ target }) => target)).toEqual([
      { queue: 'invoices', lane: 'work' },
      { topic: 'orders' },
    ]);
    expect(sends.empty).toBe(true);
    expect(await sends.take()).toEqual([]);
  });

  it('has the same ids when the attempt is repeated, on whatever process', async () => {
    const run = async (): Promise<readonly string[]> => {
      const sends = collected();
      add(sends, Render, 'invoices', { id: 'a' });
      add(sends, Placed, undefined, { id: 'b' });
      return idsOf(sends);
    };
    const ids = await run();
    expect(await run()).toEqual(ids);
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{14}5/);
  });

  it('has other ids for another incoming message and in another queue', async () => {
    const of = async (queue: string, id: string): Promise<string | undefined> => {
      const sends = collected(queue, { ...incoming, id });
      add(sends, Render, 'invoices', { id: 'a' });
      return (await idsOf(sends))[0];
    };
    expect(new Set([await of('billing', 'in-1'), await of('billing', 'in-2'), await of('mailer', 'in-1')]).size).toBe(
      3,
    );
  });

  it('keeps an id that it was given, and the ids of the others', async () => {
    const without = collected();
    const given = collected();
    for (const sends of [without, given]) {
      add(sends, Render, 'invoices', { id: 'a' }, sends === given ? { id: 'mine' } : undefined);
      add(sends, Render, 'invoices', { id: 'b' });
    }
    const [first, second] = await idsOf(given);
    expect(first).toBe('mine');
    expect(second).toBe((await idsOf(without))[1]);
  });

  it('carries correlation and causation on', async () => {
    const sends = collected();
    add(sends, Render, 'invoices', { id: 'a' });
    const [message] = await sends.take();
    expect(decode(message as NonNullable<typeof message>).metadata).toMatchObject({
      correlationId: 'c-1',
      causationId: 'in-1',
      source: '/orders',
    });
  });

  it('is what it was when it was sent, whatever the handler changes later', async () => {
    const sends = collected();
    const data = { id: 'a' };
    add(sends, Render, 'invoices', data);
    data.id = 'b';
    const [message] = await sends.take();
    expect(decode(message as NonNullable<typeof message>).data).toEqual({ id: 'a' });
  });

  it('is refused at once where it does not fit', () => {
    const sends = collected();
    expect(refusal(() => add(sends, Render, 'invoices', { id: 7 })).code).toBe('INVALID_MESSAGE');
    expect(refusal(() => add(sends, Render, 'invoices', { id: 'a' }, { delayMs: -1 })).code).toBe('INVALID_ARGUMENT');
    expect(sends.empty).toBe(true);
  });

  it('is refused when it is taken where the schema is asynchronous', async () => {
    const sends = collected();
    add(sends, Slow, 'slow', { id: 'good' });
    add(sends, Slow, 'slow', { id: 'bad' });
    expect((await rejection(sends.take())).message).toMatch(/"slow" version 1 does not fit its schema: is bad/);
  });
});

describe('what a failed attempt sent', () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown): void => void unhandled.push(reason);
  afterEach(() => void process.off('unhandledRejection', listen));

  it('is dropped without an unhandled rejection, which would end the process', async () => {
    process.on('unhandledRejection', listen);
    const sends = collected();
    add(sends, Slow, 'slow', { id: 'bad' });
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  });
});
