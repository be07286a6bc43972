import { BatchError, WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { SqsSettler } from '../src/sqs-settler.ts';
import { fakeClients, received } from './fake-sqs.ts';

const many = (count: number, more: Parameters<typeof received>[1] = {}) =>
  Array.from({ length: count }, (_, index) => received(`m${index}`, more));
const accepted = (deliveries: ReturnType<typeof many>) =>
  deliveries.map((delivery) => ({ delivery, action: 'accept' as const }));
const released = (deliveries: ReturnType<typeof many>) =>
  deliveries.map((delivery) => ({ delivery, action: 'release' as const }));
const codesOf = (settling: Promise<unknown>): Promise<readonly string[]> =>
  settling.then(
    () => [],
    (error: unknown) => {
      if (!BatchError.is(error)) throw error;
      return error.failures.map(({ index, error: { code } }) => `${index} ${code}`);
    },
  );

describe('settle', () => {
  test('deletes and gives back ten to a request, each where it came from', async () => {
    const { clients, calls } = fakeClients(() => undefined);
    const fromDelay = [received('d', { url: 'delay' })];
    await new SqsSettler(clients, 30_000).settle([...accepted(many(23)), ...released(many(2)), ...accepted(fromDelay)]);
    const sizes = calls.map(({ name, url, handles, visibility }) => [name, url, handles.length, visibility]);
    expect(sizes.toSorted()).toEqual([
      ['ChangeMessageVisibilityBatch', 'q', 2, 0],
      ['DeleteMessageBatch', 'delay', 1, undefined],
      ['DeleteMessageBatch', 'q', 10, undefined],
      ['DeleteMessageBatch', 'q', 10, undefined],
      ['DeleteMessageBatch', 'q', 3, undefined],
    ]);
  });

  test('an entry with a stale handle is a lost lease, one that was throttled may be tried again', async () => {
    const { clients } = fakeClients((handle) => {
      if (handle === 'm3') return { Code: 'ReceiptHandleIsInvalid', SenderFault: true };
      if (handle === 'm12') return { Code: 'RequestThrottled', SenderFault: false };
      return undefined;
    });
    expect(await codesOf(new SqsSettler(clients, 30_000).settle(accepted(many(20))))).toEqual([
      '3 LEASE_LOST',
      '12 THROTTLED',
    ]);
  });

  test('a request that fails fails for its entries only', async () => {
    const { clients } = fakeClients((handle) => {
      if (handle === 'm0') throw new WaybillError('UNAVAILABLE', 'gone');
      return undefined;
    });
    const expected = Array.from({ length: 10 }, (_, index) => `${index} UNAVAILABLE`);
    expect(await codesOf(new SqsSettler(clients, 30_000).settle(accepted(many(25))))).toEqual(expected);
  });

  test('what is ours no longer is lost without being asked about: an old handle would still delete it', async () => {
    const { clients, calls } = fakeClients(() => undefined);
    const batch = accepted([received('a', { leaseUntil: Date.now() - 1 }), received('b')]);
    expect(await codesOf(new SqsSettler(clients, 30_000).settle(batch))).toEqual(['0 LEASE_LOST']);
    expect(calls.map(({ handles }) => handles)).toEqual([['b']]);
  });

  test('what is given back of one group goes in its order, one request after the other', async () => {
    const { clients, calls } = fakeClients(() => undefined);
    await new SqsSettler(clients, 30_000).settle(released(many(25, { group: 'g' })));
    expect(calls.flatMap(({ handles }) => handles)).toEqual(many(25).map(({ position }) => position));
  });
});

describe('extend', () => {
  test('answers with the end of the new lease, counted from before the request, and with 0 where it is lost', async () => {
    const { clients, calls } = fakeClients((handle) => (handle === 'm1' ? { Code: 'MessageNotInflight' } : undefined));
    const deliveries = [...many(2), received('old', { leaseUntil: Date.now() - 1 })];
    const before = Date.now();
    const [first = 0, second, third] = await new SqsSettler(clients, 2_000).extend(deliveries);
    expect(first).toBeGreaterThanOrEqual(before + 2_000);
    expect(first).toBeLessThanOrEqual(Date.now() + 2_000);
    expect(deliveries[0]?.leaseUntil).toBe(first);
    expect([second, third]).toEqual([0, 0]);
    expect(calls).toEqual([{ name: 'ChangeMessageVisibilityBatch', url: 'q', handles: ['m0', 'm1'], visibility: 2 }]);
  });

  test('rejects where it is not known whose they are', async () => {
    const { clients } = fakeClients((handle) => (handle === 'm1' ? { Code: 'InternalError' } : undefined));
    await expect(new SqsSettler(clients, 2_000).extend(many(3))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
