import { memory } from '@waybill/memory';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  type Bus,
  type BusOptions,
  createBus,
  defineCommand,
  defineEvent,
  defineQueue,
  type Driver,
} from '../../src/index.ts';
import { invalidArgument, refusal, rejection } from './kit.ts';

const schema = z.object({ id: z.string() });
const Placed = defineEvent('order.placed', schema, { topic: 'orders' }).keyedBy(({ id }) => id);
const Render = defineCommand('invoice.render', schema);
const billing = defineQueue('billing', { handles: [Placed], ordered: true });
const invoices = defineQueue('invoices', { handles: [Render] });

const open: Bus[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close()));
});

function busOf(uses: BusOptions['uses'], options: Partial<BusOptions> = {}): Bus {
  const bus = createBus({ source: '/orders', driver: memory(), uses, ...options });
  open.push(bus);
  return bus;
}

async function listed(bus: Bus): Promise<void> {
  for await (const letter of bus.deadLetters(invoices)) throw new Error(`it listed ${letter.id}`);
}

describe('what a bus uses', () => {
  it('makes the topology of its contracts alone', () => {
    const Mailed = defineEvent('mail.sent', schema, { topic: 'mails' });
    const bus = busOf([Mailed, billing, invoices, billing, Placed]);
    const orders = { name: 'orders', keyed: true };
    expect(bus.topology()).toEqual({
      topics: [{ name: 'mails', keyed: false }, orders],
      queues: [
        { name: 'billing', ordered: true, bindings: [{ topic: orders, types: ['order.placed'] }] },
        { name: 'invoices', ordered: false, bindings: [] },
      ],
    });
  });

  it('binds a queue once to a topic, with all its types', () => {
    const Paid = defineEvent('order.paid', schema, { topic: 'orders' }).keyedBy(({ id }) => id);
    const queue = defineQueue('all', { handles: [Placed, Paid] });
    expect(busOf([queue]).topology().queues[0]?.bindings).toEqual([
      { topic: { name: 'orders', keyed: true }, types: ['order.placed', 'order.paid'] },
    ]);
  });

  it('refuses a type that is defined twice', () => {
    const again = defineEvent('order.placed', schema, { topic: 'orders' }).keyedBy(({ id }) => id);
    const sentence = '"order.placed" is defined twice: share one definition.';
    expect(refusal(() => busOf([Placed, again]))).toEqual(invalidArgument(sentence));
    expect(refusal(() => busOf([billing, again]))).toEqual(invalidArgument(sentence));
    expect(refusal(() => busOf([billing, defineQueue('other', { handles: [again] })]))).toEqual(
      invalidArgument(sentence),
    );
  });

  it('refuses a type that is an event here and a command there', () => {
    const refused = refusal(() => busOf([Placed, defineCommand('order.placed', schema)]));
    expect(refused.message).toBe('"order.placed" is defined twice: share one definition.');
  });

  it('refuses a queue that is defined twice', () => {
    const again = defineQueue('billing', { handles: [Placed], ordered: true });
    const sentence = 'Queue "billing" is defined twice: share one definition.';
    expect(refusal(() => busOf([billing, again]))).toEqual(invalidArgument(sentence));
  });

  it('refuses a command that two queues handle', () => {
    const other = defineQueue('other', { handles: [Render] });
    const sentence = 'The command "invoice.render" is handled by "invoices" and "other": a command has one queue.';
    expect(refusal(() => busOf([invoices, other]))).toEqual(invalidArgument(sentence));
  });

  it('takes an event that two queues handle', () => {
    expect(busOf([billing, defineQueue('mailer', { handles: [Placed] })]).topology().queues).toHaveLength(2);
  });

  it('refuses a topic that is keyed in one queue and not in another', () => {
    const bare = defineEvent('order.lost', schema, { topic: 'orders' });
    const sentence =
      'Topic "orders" has "order.placed" with a key and "order.lost" without: key all of a topic, or none.';
    expect(refusal(() => busOf([billing, defineQueue('mailer', { handles: [bare] })]))).toEqual(
      invalidArgument(sentence),
    );
    expect(refusal(() => busOf([bare, Placed]))).toEqual(invalidArgument(sentence));
  });

  it('refuses an ordered queue where the driver keeps no order, and says which and what to do', () => {
    const driver = memory({ capabilities: { ordering: 'none' } }) as Driver;
    const refused = refusal(() => busOf([billing], { driver }));
    expect(refused).toEqual({
      code: 'UNSUPPORTED',
      message: 'Queue "billing" is ordered, which memory cannot do: choose a broker that can, or drop `ordered`.',
    });
    expect(busOf([invoices], { driver }).topology().queues).toHaveLength(1);
  });

  it('refuses events where the driver has no topics, and takes commands', () => {
    const driver = memory({ capabilities: { topics: false } }) as Driver;
    expect(refusal(() => busOf([billing], { driver }))).toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /is an event, and memory has no topics here: use a broker that has them/,
      ) as string,
    });
    expect(busOf([invoices], { driver }).topology()).toMatchObject({ topics: [], queues: [{ bindings: [] }] });
  });

  it('takes an ordered queue where one process at a time keeps the order', () => {
    const driver = memory({ capabilities: { ordering: 'one-process' } }) as Driver;
    expect(busOf([billing], { driver }).topology().queues[0]?.ordered).toBe(true);
  });

  it('refuses what is neither a contract nor a queue', () => {
    expect(refusal(() => busOf([{}] as never)).code).toBe('INVALID_ARGUMENT');
  });
});

describe('the options of a bus', () => {
  it('are all checked at once', () => {
    const wrong = {
      source: '',
      driver: {},
      uses: [],
      provision: 'delete',
      sendTimeoutMs: 0,
      typo: 1,
      reconnect: { minMs: 'x' },
    };
    const refused = refusal(() => createBus(wrong as never));
    expect(refused.code).toBe('INVALID_ARGUMENT');
    expect(refused.message).toMatch(/^The options of createBus are wrong: /);
    for (const name of ['source', 'driver', 'uses', 'provision', 'sendTimeoutMs', 'reconnect.minMs', 'typo']) {
      expect(refused.message).toContain(name);
    }
    expect(refused.message).toContain('driver: is no driver: give what');
  });

  it('are refused when there are none', () => {
    expect(refusal(() => createBus(undefined as never)).message).toMatch(
      /^The options of createBus are wrong: options/,
    );
  });

  it('do no I/O: a driver that fails at every call makes a bus', async () => {
    const { name, spec, capabilities, limits } = memory();
    const down = () => Promise.reject(new Error('no broker'));
    const calls = { send: down, subscribe: down, verify: down, close: down };
    const driver = { name, spec, capabilities, limits, ...calls };
    const bus = busOf([billing], { driver: driver as unknown as Driver });
    expect(bus.health().status).toBe('up');
  });

  it.each(['order service', 'ordér', '/a\n', '%'])('refuse the source %j, which is no URI reference', (source) => {
    expect(refusal(() => busOf([Placed], { source })).code).toBe('INVALID_ARGUMENT');
  });
});

describe('the prefix of a bus', () => {
  it('is part of every name on the broker', () => {
    const { topics, queues } = busOf([billing], { prefix: 'staging.eu' }).topology();
    expect(topics).toEqual([{ name: 'staging.eu.orders', keyed: true }]);
    expect(queues[0]).toMatchObject({ name: 'staging.eu.billing', bindings: [{ topic: topics[0] }] });
  });

  it('is part of where messages go', async () => {
    const bus = busOf([Placed, invoices], { prefix: 'staging' });
    expect((await bus.prepare(Placed, { id: 'a' })).target).toEqual({ topic: 'staging.orders' });
    expect((await bus.prepareSend(invoices, Render, { id: 'a' })).target).toEqual({
      queue: 'staging.invoices',
      lane: 'work',
    });
  });

  it.each([
    ['Staging', 'The prefix name "Staging" may only have segments of a-z, 0-9 and "-", joined by ".".'],
    ['a.', 'The prefix name "a." may only have segments of a-z, 0-9 and "-", joined by ".".'],
    ['waybill', 'The prefix name "waybill" starts with "waybill.", which is reserved.'],
    ['waybill.eu', 'The prefix name "waybill.eu" starts with "waybill.", which is reserved.'],
    ['p'.repeat(41), `The prefix name "${'p'.repeat(41)}" is longer than 40 characters.`],
  ])('refuses %j', (prefix, sentence) => {
    expect(refusal(() => busOf([billing], { prefix }))).toEqual(invalidArgument(sentence));
  });

  it('counts in the length of a queue name', () => {
    const queue = defineQueue('q'.repeat(45), { handles: [Render] });
    expect(busOf([queue], { prefix: 'four' }).topology().queues[0]?.name).toHaveLength(50);
    const refused = refusal(() => busOf([queue], { prefix: 'fives' }));
    expect(refused).toEqual(invalidArgument(`The queue name "fives.${'q'.repeat(45)}" is longer than 50 characters.`));
  });

  it('makes no reserved name of a name that was none', () => {
    const dead = defineQueue('dead', { handles: [Render] });
    expect(busOf([dead]).topology().queues[0]?.name).toBe('dead');
    expect(refusal(() => busOf([dead], { prefix: 'billing' }))).toEqual(
      invalidArgument('The queue name "billing.dead" ends with ".dead", which is reserved.'),
    );
  });
});

describe('a contract that the bus does not use', () => {
  it('is not published', async () => {
    const bus = busOf([invoices]);
    const sentence = '"order.placed" is not in this bus\'s `uses`: add it.';
    expect(await rejection(bus.publish(Placed, { id: 'a' }))).toEqual(invalidArgument(sentence));
    expect(await rejection(bus.prepare(Placed, { id: 'a' }))).toEqual(invalidArgument(sentence));
  });

  it('is not published when another definition of its type is used', async () => {
    const other = defineEvent('order.placed', schema, { topic: 'orders' });
    expect((await rejection(busOf([Placed]).publish(other, { id: 'a' }))).code).toBe('INVALID_ARGUMENT');
  });

  it('is not sent, consumed, counted or listed where its queue is not used', async () => {
    const bus = busOf([billing]);
    const refused = invalidArgument('Queue "invoices" is not in this bus\'s `uses`: add it.');
    expect(await rejection(bus.send(invoices, Render, { id: 'a' }))).toEqual(refused);
    expect(await rejection(bus.consume(invoices, { 'invoice.render': () => undefined }))).toEqual(refused);
    expect(await rejection(bus.depth(invoices))).toEqual(refused);
    expect(await rejection(bus.redrive(invoices))).toEqual(refused);
    expect(await rejection(listed(bus))).toEqual(refused);
  });

  it('is not reached by a cast: an event is not sent and a command is not published', async () => {
    const bus = busOf([billing, invoices]);
    expect(await rejection(bus.publish(Render as never, { id: 'a' } as never))).toEqual(
      invalidArgument('"invoice.render" is a command: send it to the queue that handles it.'),
    );
    expect(await rejection(bus.send(billing, Placed as never, { id: 'a' } as never))).toEqual(
      invalidArgument('"order.placed" is an event: publish it.'),
    );
    expect(await rejection(bus.send(billing as never, Render as never, { id: 'a' } as never))).toEqual(
      invalidArgument('"invoice.render" is not handled by queue "billing".'),
    );
  });
});

describe('the handlers of a consumer', () => {
  it('are refused when one is missing, is no function, or is of an unknown type', async () => {
    const bus = busOf([billing]);
    const handlers = { 'order.placed': 'no function', 'order.lost': () => undefined };
    const sentence = 'Handlers of queue "billing": "order.placed" has no handler, "order.lost" is not handled by it.';
    expect(await rejection(bus.consume(billing, handlers as never))).toEqual(invalidArgument(sentence));
  });

  it('are refused when there are none', async () => {
    expect((await rejection(busOf([billing]).consume(billing, undefined as never))).code).toBe('INVALID_ARGUMENT');
  });

  it('are refused with every wrong option at once', async () => {
    const wrong = { concurrency: 0, timeoutMs: -1, retry: { delaysMs: [-1], jitter: 2 }, skip: ['never'], prefetch: 1 };
    const refused = await rejection(
      busOf([billing]).consume(billing, { 'order.placed': () => undefined }, wrong as never),
    );
    expect(refused.code).toBe('INVALID_ARGUMENT');
    for (const name of [
      'consume("billing")',
      'concurrency',
      'timeoutMs',
      'retry.delaysMs.0',
      'retry.jitter',
      'skip.0',
      'prefetch',
    ]) {
      expect(refused.message).toContain(name);
    }
  });

  it('are refused where the broker holds no message that long', async () => {
    const driver = memory({ capabilities: { maxHoldMs: 60_000 } }) as Driver;
    const bus = busOf([billing, invoices], { driver });
    const ordered = await rejection(
      bus.consume(
        billing,
        { 'order.placed': () => undefined },
        { timeoutMs: 10_000, retry: { delaysMs: [20_000, 20_000], jitter: 0 } },
      ),
    );
    expect(ordered).toEqual({
      code: 'UNSUPPORTED',
      message:
        'A message of "billing" may be held for 70000 ms, and memory allows 60000: lower timeoutMs or the retry delays.',
    });
    const unordered = await rejection(
      bus.consume(invoices, { 'invoice.render': () => undefined }, { timeoutMs: 60_001 }),
    );
    expect(unordered.message).toMatch(/held for 60001 ms, and memory allows 60000: lower timeoutMs\.$/);
  });
});
