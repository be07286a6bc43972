import type { BatchFailure, Delivery, Subscription } from '@waybill/core/driver';
import { BatchError, byDeadline, pause, systemClock, WaybillError } from '@waybill/core/driver';
import type { RedisConnection } from './redis-connection.ts';
import { type Entry, fromRedis } from './redis-message.ts';
import { FREE_MS, HOLD, TAKE } from './redis-scripts.ts';

/** A blocking read that is cut off may have taken messages, and sees neither due nor released ones. */
const POLL_MS = 50;

const lostOf = (deliveries: readonly Delivery[], ours: readonly number[]): readonly BatchFailure[] =>
  deliveries.flatMap(({ position }, index) => {
    const error = new WaybillError('LEASE_LOST', `${position} is not ours any more: its lease was over.`);
    return ours[index] === 1 ? [] : [{ index, error }];
  });

/** One lane. Leases have a clock, so a broken connection loses nothing: the next call goes on with what is held. */
export function subscribeTo(connection: RedisConnection, lane: string, leaseMs: number): Subscription {
  const held = new Set<Delivery>();

  /** Gives each a new idle time, or removes it where that is empty. Resolves with 1 for each that is ours. */
  const hold = (deliveries: readonly Delivery[], idle: (index: number) => number | ''): Promise<number[]> => {
    const args = deliveries.flatMap(
      ({ raw }, index) => [...(raw as Entry).slice(0, 2), idle(index)] as [Buffer, number],
    );
    return connection.run(`settle or extend messages of "${lane}"`, HOLD, [lane, ...args]);
  };

  return {
    async receive(max, signal) {
      while (!signal.aborted) {
        const leaseUntil = systemClock.now() + leaseMs;
        const entries = await connection.run<Entry[]>(`receive from "${lane}"`, TAKE, [lane, max, FREE_MS - leaseMs]);
        const deliveries = entries.map((entry) => fromRedis(entry, lane, leaseUntil));
        for (const delivery of deliveries) held.add(delivery);
        if (deliveries.length > 0) return deliveries;
        await pause(systemClock, POLL_MS, signal);
      }
      return [];
    },
    async settle(batch) {
      const deliveries = batch.map(({ delivery }) => delivery);
      const ours = await hold(deliveries, (index) => (batch[index]?.action === 'accept' ? '' : FREE_MS));
      for (const delivery of deliveries) held.delete(delivery);
      const failures = lostOf(deliveries, ours);
      if (failures.length > 0) throw new BatchError(failures, batch.length);
    },
    async extend(deliveries) {
      const leaseUntil = systemClock.now() + leaseMs;
      const ours = await hold(deliveries, () => FREE_MS - leaseMs);
      return ours.map((mine) => mine * leaseUntil);
    },
    // It is never asked for more than may be in flight.
    resize: () => Promise.resolve(),
    async close(deadlineMs) {
      if (held.size === 0) return;
      const releasing = hold([...held], () => FREE_MS);
      await byDeadline(deadlineMs, releasing);
    },
  };
}
