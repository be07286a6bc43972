import type { Delivery, Settlement, Subscription } from '@waybill/core/driver';
import { BatchError, byDeadline, pause, systemClock, WaybillError } from '@waybill/core/driver';
import { type Entry, fromRedisMessage } from './from-redis-message.ts';
import type { RedisConnection } from './redis-connection.ts';
import { FREE_MS, HOLD, TAKE } from './redis-scripts.ts';

/** A blocking read that is cut off may have taken messages, and sees neither due nor released ones. */
const POLL_MS = 50;

/** One lane. Leases have a clock, so a broken connection loses nothing: the next call goes on with what is held. */
export class RedisSubscription implements Subscription {
  readonly #connection: RedisConnection;
  readonly #lane: string;
  readonly #leaseMs: number;
  readonly #held = new Set<Delivery>();

  constructor(connection: RedisConnection, lane: string, leaseMs: number) {
    this.#connection = connection;
    this.#lane = lane;
    this.#leaseMs = leaseMs;
  }

  async receive(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    while (!signal.aborted) {
      const leaseUntil = systemClock.now() + this.#leaseMs;
      const args = [this.#lane, max, FREE_MS - this.#leaseMs];
      const entries = await this.#connection.run<Entry[]>(`receive from "${this.#lane}"`, TAKE, args);
      const deliveries = entries.map((entry) => fromRedisMessage(entry, this.#lane, leaseUntil));
      for (const delivery of deliveries) this.#held.add(delivery);
      if (deliveries.length > 0) return deliveries;
      await pause(systemClock, POLL_MS, signal);
    }
    return [];
  }

  async settle(batch: readonly Settlement[]): Promise<void> {
    const deliveries = batch.map(({ delivery }) => delivery);
    const ours = await this.#hold(deliveries, (index) => (batch[index]?.action === 'accept' ? '' : FREE_MS));
    for (const delivery of deliveries) this.#held.delete(delivery);
    const lost = deliveries.flatMap(({ position }, index) => {
      if (ours[index] === 1) return [];
      return [
        { index, error: new WaybillError('LEASE_LOST', `${position} is not ours any more: its lease was over.`) },
      ];
    });
    if (lost.length > 0) throw new BatchError(lost, batch.length);
  }

  async extend(deliveries: readonly Delivery[]): Promise<readonly number[]> {
    const leaseUntil = systemClock.now() + this.#leaseMs;
    const ours = await this.#hold(deliveries, () => FREE_MS - this.#leaseMs);
    return ours.map((mine) => mine * leaseUntil);
  }

  /** It is never asked for more than may be in flight. */
  async resize(_maxInFlight: number): Promise<void> {}

  async close(deadlineMs: number): Promise<void> {
    if (this.#held.size > 0)
      await byDeadline(
        deadlineMs,
        this.#hold([...this.#held], () => FREE_MS),
      );
  }

  /** Gives each a new idle time, or removes it where that is empty. Resolves with 1 for each that is ours. */
  #hold(deliveries: readonly Delivery[], idle: (index: number) => number | ''): Promise<readonly number[]> {
    const args = deliveries.flatMap(({ raw }, index) => {
      const [id, count] = raw as Entry;
      return [id, count, idle(index)];
    });
    return this.#connection.run(`settle or extend messages of "${this.#lane}"`, HOLD, [this.#lane, ...args]);
  }
}
