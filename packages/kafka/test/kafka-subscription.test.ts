import { BatchError, type Delivery, WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { placeName } from '../src/client/port.ts';
import { Ledger } from '../src/kafka-ledger.ts';
import { writeProgress } from '../src/kafka-offsets.ts';
import { FakeKafka, never, ORDERS } from './fake-kafka.ts';

const accept = (deliveries: readonly Delivery[]) =>
  deliveries.map((delivery) => ({ delivery, action: 'accept' as const }));
const offsetsOf = (deliveries: readonly Delivery[]): number[] =>
  deliveries.map(({ position }) => Number(position.split('@')[1]));

/** What the next owner would count for an offset. */
function countOf(kafka: FakeKafka, offset: number): number {
  return new Ledger({ ...kafka.progress, offset: kafka.progress.offset }, true).add(offset)?.before ?? -1;
}

/** A process died that had the first ten. */
function afterDeath(): FakeKafka {
  const kafka = new FakeKafka();
  const metadata = writeProgress({
    offset: 0,
    owner: 'dead',
    holes: [],
    end: 0,
    held: 0,
    charges: [{ end: 10, count: 1 }],
  });
  kafka.committed.set(placeName(ORDERS), { ...ORDERS, offset: 0, metadata });
  return kafka;
}

describe('hand-outs', () => {
  test('the broker knows before anything is handed out', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(3);
    expect(offsetsOf(await subscription.receive(10, never))).toEqual([0, 1, 2]);
    expect([0, 1, 2].map((offset) => countOf(kafka, offset))).toEqual([1, 1, 1]);
  });

  test('what the broker could not be told of is not handed out, and told of the next time', async () => {
    const kafka = afterDeath();
    const subscription = await kafka.open();
    kafka.failures.push(new WaybillError('UNAVAILABLE', 'gone'));
    kafka.deliver(1);
    await expect(subscription.receive(10, never)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(offsetsOf(await subscription.receive(10, never))).toEqual([0]);
    expect(countOf(kafka, 0)).toBe(2);
  });

  test('what is held when the group joins again is told of again', async () => {
    const kafka = afterDeath();
    const subscription = await kafka.open();
    kafka.deliver(1);
    await subscription.receive(10, never);
    expect(countOf(kafka, 0)).toBe(2);
    await kafka.group.onLeaving();
    const before = kafka.commits;
    await kafka.assign(true);
    await expect.poll(() => kafka.commits).toBeGreaterThan(before);
    expect(kafka.progress.held).toBe(1);
    expect(countOf(kafka, 0)).toBe(2);
  });

  test('what is released and handed out again after the group joined again is told of', async () => {
    const kafka = afterDeath();
    const subscription = await kafka.open();
    kafka.deliver(1);
    const [delivery] = (await subscription.receive(10, never)) as [Delivery];
    await subscription.settle([{ delivery, action: 'release' }]);
    await kafka.group.onLeaving();
    await kafka.assign(true);
    await subscription.receive(10, never);
    expect(countOf(kafka, 0)).toBe(2);
  });

  test('what is released comes again before what is behind it', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(4);
    const [, second, third] = (await subscription.receive(3, never)) as [Delivery, Delivery, Delivery];
    await subscription.settle([
      { delivery: third, action: 'release' },
      { delivery: second, action: 'release' },
    ]);
    expect(offsetsOf(await subscription.receive(10, never))).toEqual([1, 2, 3]);
  });

  test('an aborted call hands out nothing, and the next one everything', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    const abort = new AbortController();
    const waiting = subscription.receive(10, abort.signal);
    abort.abort();
    expect(await waiting).toEqual([]);
    kafka.deliver(2);
    expect(offsetsOf(await subscription.receive(10, never))).toEqual([0, 1]);
  });
});

describe('settlements', () => {
  test('are stored soon, also those out of turn', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(4);
    const deliveries = await subscription.receive(10, never);
    await subscription.settle(accept([deliveries[0] as Delivery, deliveries[2] as Delivery]));
    await expect.poll(() => kafka.progress).toMatchObject({ offset: 1, holes: [1], end: 3 });
  });

  test('that could not be stored are stored later', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(1);
    const deliveries = await subscription.receive(10, never);
    kafka.failures.push(new WaybillError('UNAVAILABLE', 'gone'), new WaybillError('UNAVAILABLE', 'gone'));
    await expect(subscription.settle(accept(deliveries))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(subscription.settle(accept(deliveries))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await subscription.settle(accept(deliveries));
    expect(kafka.progress.offset).toBe(1);
  });

  test('of what another process has are refused', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(2);
    const deliveries = await subscription.receive(10, never);
    kafka.group.onLost(new WaybillError('LEASE_LOST', 'gone'));
    expect(kafka.lost).toEqual(deliveries);
    const error = await subscription.settle(accept(deliveries)).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(BatchError);
    expect(await subscription.extend(deliveries)).toEqual([0, 0]);
    expect(kafka.progress.offset).toBe(0);
  });

  test('while the group joins again are stored once it has', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(2);
    const deliveries = await subscription.receive(10, never);
    await kafka.group.onLeaving();
    const settled = subscription.settle(accept(deliveries));
    await kafka.assign(true);
    await settled;
    expect(kafka.progress.offset).toBe(2);
    expect(kafka.lost).toEqual([]);
  });

  test('are stored when it closes, and what is in hand counts', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(3);
    const deliveries = await subscription.receive(10, never);
    await subscription.settle(accept([deliveries[1] as Delivery]));
    await subscription.close(Date.now() + 1_000);
    expect(kafka.progress).toMatchObject({ offset: 0, holes: [0], end: 2, held: 0, charges: [{ end: 3, count: 1 }] });
  });
});

describe('partitions', () => {
  test('that this process alone had in between are kept, with what is held', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(2);
    const deliveries = await subscription.receive(10, never);
    await kafka.group.onLeaving();
    await kafka.assign(false);
    expect(kafka.lost).toEqual([]);
    expect(await subscription.extend(deliveries)).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });

  test('that another process had in between are lost, and read anew from where it came to', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(3);
    const deliveries = await subscription.receive(10, never);
    await kafka.group.onLeaving();
    const metadata = writeProgress({ offset: 2, owner: 'other', holes: [], end: 2, held: 0, charges: [] });
    kafka.committed.set(placeName(ORDERS), { ...ORDERS, offset: 2, metadata });
    await kafka.assign(false);
    expect(kafka.lost).toEqual(deliveries);
    expect(kafka.group.wanted(ORDERS)).toBe(2);
    kafka.deliver(1);
    expect(offsetsOf(await subscription.receive(10, never))).toEqual([2]);
  });

  test('that were made anew are read from their beginning', async () => {
    const kafka = new FakeKafka();
    const subscription = await kafka.open();
    kafka.deliver(3);
    await subscription.settle(accept(await subscription.receive(10, never)));
    kafka.group.onGap(ORDERS, 0);
    await expect.poll(() => kafka.group.wanted(ORDERS)).toBe(0);
  });

  test('whose first records were deleted are read from the first that is there', async () => {
    const kafka = new FakeKafka();
    await kafka.open();
    kafka.group.onGap(ORDERS, 7);
    expect(kafka.group.wanted(ORDERS)).toBe(7);
  });
});
