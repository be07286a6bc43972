import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type CommandContract, defineCommand, defineEvent, defineQueue } from '../../src/index.ts';
import { invalidArgument, refusal } from './kit.ts';

const order = z.object({ id: z.string() });
const Placed = defineEvent('order.placed', order, { topic: 'orders' });
const Keyed = defineEvent('order.paid', order, { topic: 'payments' }).keyedBy(({ id }) => id);

describe('defineEvent', () => {
  it('makes version 1 of an event without a key', () => {
    expect(Placed).toMatchObject({
      kind: 'event',
      type: 'order.placed',
      topic: 'orders',
      version: 1,
      keyed: false,
      schema: order,
    });
    expect(Placed.versions).toEqual([{ schema: order }]);
  });

  it('makes a definition that nobody changes', () => {
    expect(() => Object.assign(Placed, { topic: 'other' })).toThrow(TypeError);
    expect(() => Object.assign(Keyed, { keyed: false })).toThrow(TypeError);
  });

  it.each(['a', 'A9', '9', 'order.placed', 'Order_Placed-2', 'x'.repeat(120)])('takes the type %j', (type) => {
    expect(defineEvent(type, order, { topic: 'orders' }).type).toBe(type);
  });

  it.each(['', '.a', '-a', '_a', 'a b', 'a/b', 'a\n', 'é', 'a#1', 'x'.repeat(121)])('refuses the type %j', (type) => {
    const sentence = `The message type "${type}" may have 1 to 120 letters, digits, ".", "_" and "-", and starts with a letter or digit.`;
    expect(refusal(() => defineEvent(type, order, { topic: 'orders' }))).toEqual(invalidArgument(sentence));
    expect(refusal(() => defineCommand(type, order))).toEqual(invalidArgument(sentence));
  });

  it('refuses a type that is no text', () => {
    expect(refusal(() => defineCommand(7 as never, order)).message).toContain('The message type "7"');
    expect(refusal(() => defineCommand(undefined as never, order)).message).toContain('The message type "undefined"');
  });

  it.each([
    ['Orders', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['orders_eu', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['orders..eu', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['', 'is empty'],
    ['waybill.orders', 'starts with "waybill.", which is reserved'],
    ['orders.dead', 'ends with ".dead", which is reserved'],
    ['orders.delay', 'ends with ".delay", which is reserved'],
    ['orders.p12', 'ends with ".p12", which is reserved'],
    ['t'.repeat(201), 'is longer than 200 characters'],
  ])('refuses the topic %j', (topic, problem) => {
    const refused = refusal(() => defineEvent('order.placed', order, { topic }));
    expect(refused).toEqual(invalidArgument(`The topic name "${topic}" ${problem}.`));
  });

  it('refuses an event without a topic', () => {
    const sentence = 'The topic name "undefined" is empty.';
    expect(refusal(() => defineEvent('order.placed', order, {} as never))).toEqual(invalidArgument(sentence));
    expect(refusal(() => defineEvent('order.placed', order, undefined as never))).toEqual(invalidArgument(sentence));
  });

  it.each([
    ['undefined', undefined],
    ['null', null],
    ['text', 'string'],
    ['a JSON Schema', { type: 'object' }],
    ['a function that checks', (value: unknown) => value],
    ['a standard without validate', { '~standard': { version: 1, vendor: 'x' } }],
  ])('refuses %s as a schema', (_, schema) => {
    const sentence = 'The schema of "order.placed" is not a Standard Schema (zod, valibot, arktype, …).';
    expect(refusal(() => defineEvent('order.placed', schema as never, { topic: 'orders' }))).toEqual(
      invalidArgument(sentence),
    );
    expect(refusal(() => defineCommand('order.placed', schema as never))).toEqual(invalidArgument(sentence));
    expect(refusal(() => Placed.evolve(schema as never, () => ({}) as never))).toEqual(invalidArgument(sentence));
  });

  it('takes a schema that is a function', () => {
    const validate = (value: unknown) => ({ value });
    const callable = Object.assign(() => undefined, { '~standard': { version: 1, vendor: 'x', validate } as const });
    expect(defineCommand('a', callable).schema).toBe(callable);
  });
});

describe('evolve', () => {
  const second = z.object({ id: z.string(), currency: z.string() });
  const third = z.object({ id: z.string(), cents: z.number() });
  const toSecond = (v1: { id: string }) => ({ ...v1, currency: 'EUR' });
  const toThird = (v2: { id: string }) => ({ id: v2.id, cents: 1 });

  it('adds one version after the other, oldest first', () => {
    const evolved = Placed.evolve(second, toSecond).evolve(third, toThird);
    expect(evolved).toMatchObject({ version: 3, schema: third, topic: 'orders', keyed: false });
    expect(evolved.versions).toEqual([
      { schema: order },
      { schema: second, upcast: toSecond },
      { schema: third, upcast: toThird },
    ]);
  });

  it('leaves the definition it grew from as it was', () => {
    Placed.evolve(second, toSecond);
    expect(Placed).toMatchObject({ version: 1, schema: order, versions: [{ schema: order }] });
  });

  it('gives commands versions, too', () => {
    const command = defineCommand('a', order).evolve(second, toSecond);
    expect(command).toMatchObject({ kind: 'command', version: 2, schema: second });
    expect(command).not.toHaveProperty('topic');
  });

  it('refuses a version without its upcast', () => {
    const refused = refusal(() => Placed.evolve(second, toSecond).evolve(third, undefined as never));
    expect(refused).toEqual(invalidArgument('"order.placed" version 3 has no upcast function.'));
  });
});

describe('keyedBy', () => {
  it('keeps the function and ends the definition', () => {
    expect(Keyed).toMatchObject({ keyed: true, version: 1, topic: 'payments' });
    expect(Keyed.keyOf?.({ id: 'a' })).toBe('a');
    expect(Keyed).not.toHaveProperty('evolve');
    expect(Keyed).not.toHaveProperty('keyedBy');
  });

  it('keys the latest of several versions', () => {
    const evolved = Placed.evolve(z.object({ customer: z.string() }), ({ id }) => ({ customer: id }));
    expect(evolved.keyedBy(({ customer }) => customer)).toMatchObject({ version: 2, keyed: true });
  });

  it.each([undefined, null, 'id', { id: 'id' }])('refuses %j instead of a function', (keyOf) => {
    const sentence = 'keyedBy of "order.placed" takes a function from the data to its key.';
    expect(refusal(() => Placed.keyedBy(keyOf as never))).toEqual(invalidArgument(sentence));
  });
});

describe('defineQueue', () => {
  const Render = defineCommand('invoice.render', order);

  it('makes a queue that nobody changes, unordered unless told otherwise', () => {
    const handles = [Placed, Render];
    const queue = defineQueue('billing', { handles });
    handles.pop();
    expect(queue).toEqual({ name: 'billing', ordered: false, handles: [Placed, Render] });
    expect(() => (queue.handles as unknown[]).push(Render)).toThrow(TypeError);
    expect(() => Object.assign(queue, { name: 'other' })).toThrow(TypeError);
  });

  it('orders a queue of keyed contracts', () => {
    const queue = defineQueue('billing', {
      handles: [Keyed, defineCommand('a', order).keyedBy(({ id }) => id)],
      ordered: true,
    });
    expect(queue.ordered).toBe(true);
  });

  it.each([
    ['', 'is empty'],
    ['Billing', 'may only have segments of a-z, 0-9 and "-", joined by "."'],
    ['billing.dead', 'ends with ".dead", which is reserved'],
    ['billing.p0', 'ends with ".p0", which is reserved'],
    ['waybill.billing', 'starts with "waybill.", which is reserved'],
    ['q'.repeat(51), 'is longer than 50 characters'],
  ])('refuses the name %j', (name, problem) => {
    const refused = refusal(() => defineQueue(name, { handles: [Placed] }));
    expect(refused).toEqual(invalidArgument(`The queue name "${name}" ${problem}.`));
  });

  it.each([
    ['none', []],
    ['no list', Placed],
    ['nothing', undefined],
  ])('refuses a queue that handles %s', (_, handles) => {
    const sentence = 'Queue "billing" handles nothing: list its contracts in `handles`.';
    expect(refusal(() => defineQueue('billing', { handles: handles as never }))).toEqual(invalidArgument(sentence));
  });

  it('refuses a queue without options', () => {
    expect(refusal(() => defineQueue('billing', undefined as never)).message).toMatch(/handles nothing/);
  });

  it('refuses a type that is listed twice, also in two versions', () => {
    const sentence = 'Queue "billing" lists "order.placed" twice.';
    expect(refusal(() => defineQueue('billing', { handles: [Placed, Placed] }))).toEqual(invalidArgument(sentence));
    const evolved = Placed.evolve(order, (v1) => v1);
    expect(refusal(() => defineQueue('billing', { handles: [Placed, evolved] }))).toEqual(invalidArgument(sentence));
  });

  it('refuses an ordered queue with a contract that has no key', () => {
    const refused = refusal(() => defineQueue('billing', { handles: [Keyed, Placed] as never, ordered: true }));
    expect(refused).toEqual(invalidArgument('Queue "billing" is ordered but "order.placed" has no key: add keyedBy.'));
  });

  it.each([
    ['keyed first', (keyed: CommandContract, bare: CommandContract) => [keyed, bare]],
    ['keyed last', (keyed: CommandContract, bare: CommandContract) => [bare, keyed]],
  ])('refuses a topic that is keyed in part: %s', (_, inOrder) => {
    const keyed = defineEvent('order.paid', order, { topic: 'orders' }).keyedBy(({ id }) => id);
    const handles = inOrder(keyed as never, Placed as never);
    const sentence =
      'Topic "orders" has "order.paid" with a key and "order.placed" without: key all of a topic, or none.';
    expect(refusal(() => defineQueue('billing', { handles }))).toEqual(invalidArgument(sentence));
  });

  it('takes keyed and bare contracts of different topics, and bare commands beside a keyed topic', () => {
    expect(defineQueue('billing', { handles: [Keyed, Placed, Render] }).handles).toHaveLength(3);
  });

  it.each([
    ['undefined', undefined],
    ['an empty object', {}],
    ['a queue', defineQueue('other', { handles: [Placed] })],
    ['text', 'order.placed'],
  ])('refuses %s among what it handles', (_, handled) => {
    const refused = refusal(() => defineQueue('billing', { handles: [Placed, handled] as never }));
    expect(refused.code).toBe('INVALID_ARGUMENT');
  });

  it('refuses `ordered` that is no boolean', () => {
    expect(refusal(() => defineQueue('billing', { handles: [Keyed], ordered: 'no' as never })).code).toBe(
      'INVALID_ARGUMENT',
    );
  });
});
