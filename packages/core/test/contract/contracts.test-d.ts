// Compiled only, never run: what stands under @ts-expect-error must not compile, everything else must.
/* oxlint-disable typescript/no-unsafe-call -- what does not compile has no type */
/* oxlint-disable no-new, typescript/no-unnecessary-type-parameters -- nothing runs */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { z } from 'zod';
import {
  type Bus,
  type CommandContract,
  createBus,
  type Driver,
  defineCommand,
  defineEvent,
  defineQueue,
  type EventContract,
  type Handlers,
  type InputOf,
  type KeyedContract,
  type Middleware,
  type OutputOf,
  Reject,
  RetryLater,
  slot,
  WaybillError,
} from '../../src/index.ts';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<_ extends true>(): void {}

interface OrderV1 {
  orderId: string;
  total: number;
}
interface OrderV2 extends OrderV1 {
  currency: string;
}

const orderV1 = z.object({ orderId: z.string(), total: z.number() });
const orderV2 = z.object({ orderId: z.string(), total: z.number(), currency: z.string() });
const OrderPlaced = defineEvent('order.placed', orderV1, { topic: 'orders' })
  .evolve(orderV2, (v1) => ({ ...v1, currency: 'EUR' }))
  .keyedBy((order) => order.orderId);
const OrderLost = defineEvent('order.lost', orderV1, { topic: 'losses' });
const RenderInvoice = defineCommand('invoice.render', z.object({ orderId: z.string() }));
const VoidInvoice = defineCommand('invoice.void', z.object({ orderId: z.string() }));
const billing = defineQueue('billing', { handles: [OrderPlaced], ordered: true });
const invoices = defineQueue('invoices', { handles: [RenderInvoice] });
const mixed = defineQueue('mixed', { handles: [OrderPlaced, OrderLost, VoidInvoice] });
const order: OrderV2 = { orderId: '1', total: 1, currency: 'EUR' };

/** A schema by hand: nothing but the standard. */
const byHand: StandardSchemaV1<{ n: string }, { n: number }> = {
  '~standard': { version: 1, vendor: 'by-hand', validate: () => ({ value: { n: 1 } }) },
};
const later: StandardSchemaV1<{ n: string }, { n: number }> = {
  '~standard': { version: 1, vendor: 'by-hand', validate: async () => ({ value: { n: 1 } }) },
};
/** As arktype makes them: callable. */
const callable: StandardSchemaV1<string> & (() => void) = Object.assign(() => undefined, {
  '~standard': { version: 1, vendor: 'callable', validate: (value: unknown) => ({ value: value as string }) } as const,
});

export async function publishing(bus: Bus): Promise<void> {
  await bus.publish(OrderPlaced, order);
  await bus.publish(OrderPlaced, order, {
    id: 'a',
    correlationId: 'b',
    causationId: 'c',
    sequence: '1',
    extensions: { a: 1 },
  });
  await bus.publish(OrderPlaced, order, { signal: AbortSignal.timeout(1) });
  await bus.publish(OrderLost, { orderId: '1', total: 1 });
  // @ts-expect-error the data of the version before
  await bus.publish(OrderPlaced, { orderId: '1', total: 1 });
  // @ts-expect-error a wrong type inside the data
  await bus.publish(OrderPlaced, { orderId: 1, total: 1, currency: 'EUR' });
  // @ts-expect-error more than the data has
  await bus.publish(OrderPlaced, { orderId: '1', total: 1, currency: 'EUR', note: '' });
  // @ts-expect-error no data
  await bus.publish(OrderPlaced);
  // @ts-expect-error undefined instead of data
  await bus.publish(OrderPlaced, undefined);
  // @ts-expect-error a command
  await bus.publish(RenderInvoice, { orderId: '1' });
  // @ts-expect-error a queue
  await bus.publish(billing, order);
  // @ts-expect-error a type name instead of its contract
  await bus.publish('order.placed', order);
  // @ts-expect-error events have no delay
  await bus.publish(OrderPlaced, order, { delayMs: 1 });
  // @ts-expect-error an extension that CloudEvents has no type for
  await bus.publish(OrderPlaced, order, { extensions: { at: new Date() } });
  // @ts-expect-error an option that does not exist
  await bus.publish(OrderPlaced, order, { key: 'a' });
}

export async function sending(bus: Bus): Promise<void> {
  await bus.send(invoices, RenderInvoice, { orderId: '1' });
  await bus.send(invoices, RenderInvoice, { orderId: '1' }, { delayMs: 60_000, id: 'invoice:1' });
  await bus.send(mixed, VoidInvoice, { orderId: '1' });
  // @ts-expect-error wrong data
  await bus.send(invoices, RenderInvoice, { orderId: 1 });
  // @ts-expect-error a queue that handles another command
  await bus.send(invoices, VoidInvoice, { orderId: '1' });
  // @ts-expect-error a queue that handles no command
  await bus.send(billing, RenderInvoice, { orderId: '1' });
  // @ts-expect-error an event
  await bus.send(billing, OrderPlaced, order);
  // @ts-expect-error an event, also where the queue handles commands beside it
  await bus.send(mixed, OrderPlaced, order);
  // @ts-expect-error a name instead of the queue
  await bus.send('invoices', RenderInvoice, { orderId: '1' });
  // @ts-expect-error a delay that is no number
  await bus.send(invoices, RenderInvoice, { orderId: '1' }, { delayMs: '1 min' });
}

export async function preparing(bus: Bus): Promise<void> {
  await bus.dispatch([
    await bus.prepare(OrderPlaced, order),
    await bus.prepareSend(invoices, RenderInvoice, { orderId: '1' }),
  ]);
  // @ts-expect-error wrong data
  await bus.prepare(OrderPlaced, { orderId: '1' });
  // @ts-expect-error a command has a queue
  await bus.prepare(RenderInvoice, { orderId: '1' });
  // @ts-expect-error a queue that does not handle it
  await bus.prepareSend(invoices, VoidInvoice, { orderId: '1' });
  // @ts-expect-error data instead of its wire form
  await bus.dispatch([order]);
}

export async function consuming(bus: Bus): Promise<void> {
  await bus.consume(billing, {
    'order.placed': async (placed, context) => {
      same<Same<typeof placed, OrderV2>>();
      same<Same<typeof context.attempt, number>>();
      same<Same<typeof context.signal, AbortSignal>>();
      context.send(invoices, RenderInvoice, { orderId: placed.orderId }, { delayMs: 1 });
      context.publish(OrderLost, { orderId: placed.orderId, total: placed.total });
      // @ts-expect-error wrong data
      context.send(invoices, RenderInvoice, { order: placed.orderId });
      // @ts-expect-error a queue that does not handle it
      context.send(invoices, VoidInvoice, { orderId: placed.orderId });
      // @ts-expect-error an event
      context.send(billing, OrderPlaced, placed);
      // @ts-expect-error a command
      context.publish(RenderInvoice, { orderId: placed.orderId });
      // @ts-expect-error nothing to wait for: it goes out after the handler returned
      context.send(invoices, RenderInvoice, { orderId: placed.orderId }).then(() => undefined);
      // @ts-expect-error a handler changes nothing of its attempt
      context.attempt = 2;
    },
  });
  await bus.consume(mixed, {
    'order.placed': (placed) => same<Same<typeof placed, OrderV2>>(),
    'order.lost': (lost) => same<Same<typeof lost, OrderV1>>(),
    'invoice.void': (invoice) => same<Same<typeof invoice, { orderId: string }>>(),
  });
  // @ts-expect-error no handlers
  await bus.consume(billing);
  // @ts-expect-error the only handler is missing
  await bus.consume(billing, {});
  // @ts-expect-error one of three is missing
  await bus.consume(mixed, { 'order.placed': () => undefined, 'order.lost': () => undefined });
  // @ts-expect-error a handler of a type that the queue does not handle
  await bus.consume(invoices, { 'invoice.render': () => undefined, 'order.placed': () => undefined });
  // @ts-expect-error a misspelled type
  await bus.consume(invoices, { 'invoice.rendr': () => undefined });
  // @ts-expect-error undefined instead of a handler
  await bus.consume(invoices, { 'invoice.render': undefined });
  // @ts-expect-error a handler of other data
  await bus.consume(invoices, { 'invoice.render': (data: { orderId: number }) => void data });
  const others = { 'order.placed': () => undefined, 'invoice.void': () => undefined };
  // @ts-expect-error a handler of a newer version's data
  await bus.consume(mixed, { ...others, 'order.lost': (lost: OrderV2) => void lost });
  // @ts-expect-error what a handler returns would be dropped
  await bus.consume(invoices, { 'invoice.render': () => 'done' });
  // @ts-expect-error a contract instead of its queue
  await bus.consume(OrderPlaced, { 'order.placed': () => undefined });
  // @ts-expect-error an option that does not exist
  await bus.consume(invoices, { 'invoice.render': () => undefined }, { prefetch: 1 });
  // @ts-expect-error a retry schedule of text
  await bus.consume(invoices, { 'invoice.render': () => undefined }, { retry: { delaysMs: ['1s'] } });
  // @ts-expect-error a reason that does not exist
  await bus.consume(invoices, { 'invoice.render': () => undefined }, { skip: ['too-late'] });
  // Handlers with data of fewer members, made elsewhere, are right.
  const elsewhere: Handlers<typeof OrderPlaced> = { 'order.placed': (data: { orderId: string }) => void data };
  await bus.consume(billing, elsewhere);
}

export function evolving(): void {
  const v1 = defineEvent('order.moved', orderV1, { topic: 'moves' });
  // @ts-expect-error an upcast that leaves out what the newer version needs
  v1.evolve(orderV2, (older) => ({ ...older }));
  // @ts-expect-error an upcast that returns a wrong type
  v1.evolve(orderV2, (older) => ({ ...older, currency: 1 }));
  // @ts-expect-error an upcast that returns nothing
  v1.evolve(orderV2, () => undefined);
  // @ts-expect-error an upcast that takes other data than the version before has
  v1.evolve(orderV2, (older: { id: string }) => ({ orderId: older.id, total: 1, currency: 'EUR' }));
  // @ts-expect-error an upcast reads a member that the version before does not have
  v1.evolve(orderV2, (older) => ({ ...older, currency: older.currency }));
  // @ts-expect-error no upcast: a gap
  v1.evolve(orderV2);
  // @ts-expect-error an upcast is not asynchronous
  v1.evolve(orderV2, async (older) => ({ ...older, currency: 'EUR' }));
  // @ts-expect-error a newer version without a schema
  v1.evolve(undefined, (older: OrderV1) => older);
  v1.evolve(orderV2, (older) => ({ ...older, currency: 'EUR' })).evolve(z.object({ cents: z.number() }), (older) => {
    same<Same<typeof older, OrderV2>>();
    return { cents: older.total * 100 };
  });
  // A step skipped does not compile: version 3 is made of version 2, not of 1.
  v1.evolve(z.object({ b: z.string() }), () => ({ b: '' }))
    // @ts-expect-error version 2 has no orderId
    .evolve(z.object({ c: z.string() }), (older) => ({ c: older.orderId }));
  // The upcast takes the older version's output and makes the newer one's input.
  defineEvent('measured', z.object({ at: z.coerce.date() }), { topic: 'measures' }).evolve(
    z.object({ at: z.string().transform((text) => text.length) }),
    (older) => {
      same<Same<typeof older, { at: Date }>>();
      return { at: older.at.toISOString() };
    },
  );
  const measured = defineEvent('measured', z.object({ at: z.string() }), { topic: 'measures' });
  const lengths = z.object({ at: z.string().transform((text) => text.length) });
  // @ts-expect-error the newer version's output instead of its input
  measured.evolve(lengths, (older) => ({ at: older.at.length }));
  const command = defineCommand('invoice.pay', orderV1).evolve(orderV2, (older) => ({ ...older, currency: 'EUR' }));
  same<Same<InputOf<typeof command>, OrderV2>>();
}

export function keying(): void {
  const event = defineEvent('order.moved', orderV1, { topic: 'moves' });
  const keyed = event.keyedBy((data) => data.orderId);
  same<(typeof keyed)['keyed']>();
  // @ts-expect-error a number
  event.keyedBy((data) => data.total);
  // @ts-expect-error nothing, for some
  event.keyedBy((data) => (data.total > 1 ? data.orderId : undefined));
  // @ts-expect-error a promise
  event.keyedBy(async (data) => data.orderId);
  // @ts-expect-error a member that the data does not have
  event.keyedBy((data) => data.customerId);
  // @ts-expect-error the name of a member instead of a function
  event.keyedBy('orderId');
  // @ts-expect-error no function
  event.keyedBy();
  // @ts-expect-error a key ends the definition: no further version
  keyed.evolve(orderV2, (v1: OrderV1) => ({ ...v1, currency: 'EUR' }));
  // @ts-expect-error a key ends the definition: no second one
  keyed.keyedBy((data: OrderV1) => data.orderId);
  const command = defineCommand('invoice.pay', orderV1).keyedBy((data) => data.orderId);
  // @ts-expect-error as with events
  command.evolve(orderV2, (v1: OrderV1) => ({ ...v1, currency: 'EUR' }));
  // @ts-expect-error as with events
  command.keyedBy((data: OrderV1) => data.orderId);
  // The key is made of the output.
  defineEvent('measured', z.object({ n: z.coerce.string() }), { topic: 'measures' }).keyedBy((data) => {
    same<Same<typeof data, { n: string }>>();
    return data.n;
  });
  const contract: KeyedContract = keyed;
  void contract;
  // @ts-expect-error not keyed
  const bare: KeyedContract = event;
  void bare;
}

export function queues(): void {
  defineQueue('a', {
    handles: [OrderPlaced, defineCommand('b', orderV1).keyedBy((data) => data.orderId)],
    ordered: true,
  });
  defineQueue('a', { handles: [OrderLost, RenderInvoice] });
  defineQueue('a', { handles: [OrderLost], ordered: false });
  // @ts-expect-error ordered, without a key
  defineQueue('a', { handles: [OrderLost], ordered: true });
  // @ts-expect-error ordered, one of two without a key
  defineQueue('a', { handles: [OrderPlaced, OrderLost], ordered: true });
  // @ts-expect-error what it handles is missing
  defineQueue('a', {});
  // @ts-expect-error what it handles is missing
  defineQueue('a', { ordered: true });
  // @ts-expect-error names instead of contracts
  defineQueue('a', { handles: ['order.placed'] });
  // @ts-expect-error one contract instead of a list
  defineQueue('a', { handles: OrderLost });
  // @ts-expect-error a queue instead of a contract
  defineQueue('a', { handles: [billing] });
  // @ts-expect-error an option that does not exist
  defineQueue('a', { handles: [OrderLost], durable: true });
  // @ts-expect-error a definition does not change
  billing.name = 'other';
  // @ts-expect-error a definition does not change
  mixed.handles.push(OrderLost);
  // @ts-expect-error a definition does not change
  OrderPlaced.topic = 'other';
}

export function schemas(): void {
  const coerced = defineCommand('a', z.object({ n: z.coerce.number<string>() }));
  same<Same<InputOf<typeof coerced>, { n: string }>>();
  same<Same<OutputOf<typeof coerced>, { n: number }>>();
  const dated = defineCommand(
    'b',
    z.object({
      at: z.codec(z.iso.datetime(), z.date(), {
        decode: (text) => new Date(text),
        encode: (date) => date.toISOString(),
      }),
    }),
  );
  same<Same<InputOf<typeof dated>, { at: string }>>();
  same<Same<OutputOf<typeof dated>, { at: Date }>>();
  const defaulted = defineCommand('c', z.object({ n: z.number().default(1) }));
  same<Same<InputOf<typeof defaulted>, { n?: number | undefined }>>();
  same<Same<OutputOf<typeof defaulted>, { n: number }>>();
  const refined = defineCommand(
    'd',
    z.object({ n: z.number() }).refine(async () => true),
  );
  same<Same<OutputOf<typeof refined>, { n: number }>>();
  const hand = defineEvent('e', byHand, { topic: 't' });
  same<Same<InputOf<typeof hand>, { n: string }>>();
  same<Same<OutputOf<typeof hand>, { n: number }>>();
  const slow = defineEvent('f', later, { topic: 't' });
  same<Same<OutputOf<typeof slow>, { n: number }>>();
  const called = defineEvent('g', callable, { topic: 't' });
  same<Same<InputOf<typeof called>, string>>();
  const bytes = defineEvent('h', z.instanceof(Uint8Array), { topic: 't' });
  const event: EventContract<'h'> = bytes;
  const command: CommandContract = coerced;
  void [event, command];
  // @ts-expect-error a JSON Schema is no Standard Schema
  defineEvent('i', { type: 'object', properties: {} }, { topic: 't' });
  // @ts-expect-error a function that checks is none
  defineEvent('i', (value: unknown) => value, { topic: 't' });
  // @ts-expect-error a class is none
  defineCommand('i', Date);
  // @ts-expect-error a schema of another standard's version
  defineCommand('i', { '~standard': { version: 2, vendor: 'x', validate: () => ({ value: 1 }) } });
  // @ts-expect-error no schema
  defineCommand('i');
  // @ts-expect-error an event without its topic
  defineEvent('i', orderV1);
  // @ts-expect-error an event without its topic
  defineEvent('i', orderV1, {});
  // @ts-expect-error a command has no topic
  defineCommand('i', orderV1, { topic: 't' });
  // @ts-expect-error a type that is no text
  defineEvent(1, orderV1, { topic: 't' });
}

export async function schemaSides(bus: Bus): Promise<void> {
  const coerced = defineCommand('a', z.object({ n: z.coerce.number<string>() }));
  const queue = defineQueue('q', { handles: [coerced] });
  await bus.send(queue, coerced, { n: '1' });
  // @ts-expect-error the output is what handlers get, not what is sent
  await bus.send(queue, coerced, { n: 1 });
  await bus.consume(queue, { a: (data) => same<Same<typeof data, { n: number }>>() });
  // @ts-expect-error the input is what is sent, not what handlers get
  await bus.consume(queue, { a: (data: { n: string }) => void data });
}

export function intents(): void {
  new RetryLater(1_000);
  new RetryLater(1_000, { cause: new Error('busy') });
  new Reject('no such order', { cause: new Error('404') });
  // @ts-expect-error without its ms
  new RetryLater();
  // @ts-expect-error text
  new RetryLater('1s');
  // @ts-expect-error without its reason
  new Reject();
  // @ts-expect-error an error instead of its reason
  new Reject(new Error('x'));
  new WaybillError('TIMEOUT', 'it took too long');
  // @ts-expect-error a code that does not exist
  new WaybillError('TOO_LATE', 'it took too long');
  // @ts-expect-error without its sentence
  new WaybillError('TIMEOUT');
}

export function buses(driver: Driver): void {
  createBus({ source: '/orders', driver, uses: [OrderPlaced, RenderInvoice, billing, invoices] });
  createBus({
    source: '/orders',
    driver,
    uses: [billing],
    reconnect: { minMs: 1 },
    observe: (event) => void event.name,
  });
  // @ts-expect-error without its source
  createBus({ driver, uses: [billing] });
  // @ts-expect-error without its driver
  createBus({ source: '/orders', uses: [billing] });
  // @ts-expect-error without what it uses
  createBus({ source: '/orders', driver });
  // @ts-expect-error a function that would make the driver
  createBus({ source: '/orders', driver: () => driver, uses: [billing] });
  // @ts-expect-error names instead of definitions
  createBus({ source: '/orders', driver, uses: ['billing'] });
  // @ts-expect-error a mode that does not exist
  createBus({ source: '/orders', driver, uses: [billing], provision: 'delete' });
  // @ts-expect-error an option that does not exist
  createBus({ source: '/orders', driver, uses: [billing], retries: 3 });
}

export async function operating(bus: Bus): Promise<void> {
  for await (const letter of bus.deadLetters(billing)) {
    same<Same<typeof letter.reason, string>>();
    same<Same<typeof letter.attempts, number>>();
  }
  await bus.redrive(billing, { where: (letter) => letter.reason === 'rejected', max: 1 });
  await bus.purge(billing, 'dead');
  // @ts-expect-error a lane that does not exist
  await bus.purge(billing, 'delayed');
  // @ts-expect-error a topic has no depth
  await bus.depth(OrderPlaced);
  // @ts-expect-error a filter that is no function
  await bus.redrive(billing, { where: { reason: 'rejected' } });
}

export function middlewares(): void {
  const tenant = slot<string>('tenant');
  const middleware: Middleware = {
    name: 'tenants',
    async handle(scope, next) {
      scope.set(tenant, 'acme');
      // @ts-expect-error a value of another type than the slot's
      scope.set(tenant, 1);
      same<Same<ReturnType<typeof scope.get<string>>, string | undefined>>();
      await next();
    },
  };
  // @ts-expect-error one that returns before it is done
  const early: Middleware = { name: 'early', handle: () => undefined };
  // @ts-expect-error without its name
  const nameless: Middleware = { codec: { encode: (body) => body, decode: (body) => body } };
  void [middleware, early, nameless];
}
