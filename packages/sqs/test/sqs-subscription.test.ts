import { type Delivery, WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import type { SqsLookup } from '../src/sqs-lookup.ts';
import { checkOptions } from '../src/sqs-options.ts';
import { SqsSubscription } from '../src/sqs-subscription.ts';
import { fakeClients, stored } from './fake-sqs.ts';

/** On queues whose urls are their names. */
function subscribe(ordered = false) {
  const { clients, calls, polls } = fakeClients(() => undefined);
  const lookup = { queueUrl: async (entity: string) => entity, forget: () => undefined } as unknown as SqsLookup;
  const queue = { name: 'q', ordered, bindings: [] };
  const source = { clients, lookup, settings: checkOptions({}), queue, lane: 'work' as const };
  const subscription = new SqsSubscription(source, { maxInFlight: 1, onLost: () => undefined });
  const entity = ordered ? 'q.fifo' : 'q';
  const open = () => polls.filter(({ input }) => input.QueueUrl === entity);
  const delayed = () => polls.filter(({ input }) => input.QueueUrl === 'q_delay');
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { subscription, calls, open, delayed, turn };
}

const signal = (): AbortSignal => new AbortController().signal;
const names = (deliveries: readonly Delivery[]): readonly string[] => deliveries.map(({ position }) => position);

describe('receive', () => {
  test('resolves as soon as there is one, and the next asks twice for its room', async () => {
    const { subscription, open, turn } = subscribe();
    const first = subscription.receive(25, signal());
    await turn();
    expect(open().map(({ input }) => input.MaxNumberOfMessages)).toEqual([10]);
    await open()[0]?.answer(stored('a'));
    expect(names(await first)).toEqual(['a']);
    void subscription.receive(24, signal());
    await turn();
    expect(open().map(({ input }) => input.MaxNumberOfMessages)).toEqual([10, 10]);
  });

  test.each([
    ['for one at a time while it may hold few', 1, 1],
    ['in tens when it comes back at once and holds many', 12, 10],
  ])('asks %s', async (_, held, asked) => {
    const { subscription, open, turn } = subscribe();
    for (let count = 0; count < held; count += 1) {
      const receiving = subscription.receive(1, signal());
      await turn();
      await open()[0]?.answer(stored(`m${count}`));
      const [delivery] = await receiving;
      if (held === 1 && delivery !== undefined) await subscription.settle([{ delivery, action: 'accept' }]);
    }
    void subscription.receive(1, signal());
    await turn();
    expect(open()[0]?.input.MaxNumberOfMessages).toBe(asked);
  });

  test('polls nothing while nobody receives', async () => {
    const { subscription, open, delayed, turn } = subscribe();
    const first = subscription.receive(10, signal());
    await turn();
    await open()[0]?.answer(stored('a'));
    await first;
    await delayed()[0]?.answer();
    await turn();
    expect([open().length, delayed().length]).toEqual([0, 0]);
  });

  test('a poll without messages is followed by another while a receive waits', async () => {
    const { subscription, open, turn } = subscribe();
    void subscription.receive(10, signal());
    await turn();
    await open()[0]?.answer();
    await turn();
    expect(open()).toHaveLength(1);
  });

  test('hands out what came for an aborted receive', async () => {
    const { subscription, open, turn } = subscribe();
    const stop = new AbortController();
    const aborted = subscription.receive(10, stop.signal);
    await turn();
    stop.abort();
    expect(await aborted).toEqual([]);
    await open()[0]?.answer(stored('a'), stored('b'));
    expect(names(await subscription.receive(1, signal()))).toEqual(['a']);
    expect(names(await subscription.receive(1, signal()))).toEqual(['b']);
  });

  test('rejects with the failure of a poll, and polls again when it is called again', async () => {
    const { subscription, open, turn } = subscribe();
    const failing = subscription.receive(10, signal());
    await turn();
    await Promise.all([
      expect(failing).rejects.toMatchObject({ code: 'UNAVAILABLE' }),
      open()[0]?.fail(new WaybillError('UNAVAILABLE', 'gone')),
    ]);
    expect(open()).toHaveLength(0);
    const next = subscription.receive(10, signal());
    await turn();
    await open()[0]?.answer(stored('a'));
    expect(names(await next)).toEqual(['a']);
  });

  test('what comes from the delay queue is handed out when due, and settled there', async () => {
    const { subscription, delayed, calls, turn } = subscribe();
    const receiving = subscription.receive(10, signal());
    await turn();
    const due = { DataType: 'String', StringValue: String(Date.now() - 1) };
    await delayed()[0]?.answer({ ...stored('a'), MessageAttributes: { due } });
    const deliveries = await receiving;
    expect(names(deliveries)).toEqual(['a']);
    await subscription.settle(deliveries.map((delivery) => ({ delivery, action: 'accept' })));
    expect(calls).toMatchObject([{ name: 'DeleteMessageBatch', url: 'q_delay', handles: ['a'] }]);
  });
});

describe('an ordered queue', () => {
  test('what came behind a released message goes back with it, and is handed out to nobody before', async () => {
    const { subscription, open, calls, turn } = subscribe(true);
    const receiving = subscription.receive(2, signal());
    await turn();
    await open()[0]?.answer(stored('a', 'g'), stored('b', 'h'), stored('c', 'g'), stored('d', 'h'));
    const [first] = await receiving;
    await subscription.settle(first === undefined ? [] : [{ delivery: first, action: 'release' }]);
    expect(calls.map(({ handles, visibility }) => [handles, visibility])).toEqual([
      [['a'], 0],
      [['c'], 0],
    ]);
    expect(names(await subscription.receive(5, signal()))).toEqual(['d']);
  });
});

describe('close', () => {
  test.each([
    ['gives back only once no poll of its own could take it again', 5_000, ['a']],
    ['gives back nothing where its deadline comes first', 20, []],
  ])('%s', async (_, withinMs, expected) => {
    const { subscription, open, delayed, calls, turn } = subscribe();
    const receiving = subscription.receive(1, signal());
    await turn();
    await open()[0]?.answer(stored('a'));
    await receiving;
    void subscription.receive(1, signal());
    await turn();
    const closing = subscription.close(Date.now() + withinMs);
    await delayed()[0]?.answer();
    await turn();
    expect(calls).toEqual([]);
    if (withinMs > 1_000) await open()[0]?.answer();
    await closing;
    expect(calls.flatMap(({ handles }) => handles)).toEqual(expected);
  });

  test.each(['its queue', 'its delay queue'])('gives back what a poll of %s brings that it left open', async (left) => {
    const { subscription, open, delayed, calls, turn } = subscribe();
    void subscription.receive(10, signal());
    await turn();
    const [slow, quick] = left === 'its queue' ? [open(), delayed()] : [delayed(), open()];
    const closing = subscription.close(Date.now() + 20);
    await quick[0]?.answer();
    await closing;
    await slow[0]?.answer(stored('late'));
    await turn();
    expect(calls).toMatchObject([{ handles: ['late'], visibility: 0 }]);
  });

  test('gives back what is held and what nobody received, and what open polls bring', async () => {
    const { subscription, open, delayed, calls, turn } = subscribe();
    const receiving = subscription.receive(2, signal());
    await turn();
    await open()[0]?.answer(stored('a'), stored('b'), stored('c'));
    const [first] = await receiving;
    await subscription.settle(first === undefined ? [] : [{ delivery: first, action: 'accept' }]);
    const closing = subscription.close(Date.now() + 5_000);
    await turn();
    await delayed()[0]?.answer(stored('late'));
    await closing;
    const released = calls.filter(({ visibility }) => visibility === 0).flatMap(({ handles }) => handles);
    expect(released).toEqual(['b', 'c', 'late']);
    await expect(subscription.receive(1, signal())).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
