import {
  BatchError,
  byDeadline,
  type Delivery,
  type Lane,
  pause,
  type Settlement,
  type Subscription,
  systemClock,
  WaybillError,
} from '@waybill/core/driver';
import { type Entry, fromRedisMessage, type RedisDelivery } from './from-redis-message.ts';
import type { RedisConnection } from './redis-connection.ts';
import { delayedKey, laneName, streamKey } from './redis-keys.ts';
import { LONGEST_LEASE_MS } from './redis-options.ts';
import { HOLD, TAKE } from './redis-scripts.ts';

/** A blocking read that is cut off may have taken messages, and sees no delayed or released ones. */
const POLL_MS = 50;
/** Idle times of a message that is anyone's, and of one that is removed. */
const FREE = LONGEST_LEASE_MS;
const GONE = '';

export interface Source {
  readonly queue: string;
  readonly lane: Lane;
  readonly leaseMs: number;
}

/** Leases have a clock, so a broken connection loses nothing: the next call goes on with what is held. */
export class RedisSubscription implements Subscription {
  readonly #connection: RedisConnection;
  readonly #source: Source;
  readonly #held = new Set<RedisDelivery>();
  #closed = false;

  constructor(connection: RedisConnection, source: Source) {
    this.#connection = connection;
    this.#source = source;
  }

  async receive(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    while (!signal.aborted) {
      if (this.#closed) throw new WaybillError('CLOSED', `The subscription to "${this.#name}" is closed.`);
      const deliveries = await this.#take(max);
      if (deliveries.length > 0) return deliveries;
      await pause(systemClock, POLL_MS, signal);
    }
    return [];
  }

  async settle(batch: readonly Settlement[]): Promise<void> {
    const ours = await this.#hold(
      batch.map(({ delivery }) => delivery as RedisDelivery),
      batch.map(({ action }) => (action === 'accept' ? GONE : FREE)),
    );
    for (const { delivery } of batch) this.#held.delete(delivery as RedisDelivery);
    const failures = batch.flatMap(({ delivery }, index) =>
      ours[index] === 1 ? [] : [{ index, error: leaseLost(delivery) }],
    );
    if (failures.length > 0) throw new BatchError(failures, batch.length);
  }

  async extend(deliveries: readonly Delivery[]): Promise<readonly number[]> {
    const leaseUntil = systemClock.now() + this.#source.leaseMs;
    const ours = await this.#hold(
      deliveries as readonly RedisDelivery[],
      deliveries.map(() => this.#idle),
    );
    return ours.map((mine) => (mine === 1 ? leaseUntil : 0));
  }

  /** Never hands out more than it is asked for. */
  async resize(_maxInFlight: number): Promise<void> {}

  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    const held = [...this.#held];
    this.#held.clear();
    const free = held.map(() => FREE);
    if (held.length > 0) await byDeadline(deadlineMs, this.#hold(held, free));
  }

  async #take(max: number): Promise<readonly RedisDelivery[]> {
    const { queue, lane, leaseMs } = this.#source;
    const leaseUntil = systemClock.now() + leaseMs;
    const entries = await this.#connection.run(TAKE, {
      attempted: `receive from "${this.#name}"`,
      keys: [streamKey(queue, lane), delayedKey(queue, lane)],
      args: [max, this.#idle],
    });
    const deliveries = (entries as readonly Entry[]).map((entry) => fromRedisMessage(entry, this.#name, leaseUntil));
    for (const delivery of deliveries) this.#held.add(delivery);
    return deliveries;
  }

  async #hold(deliveries: readonly RedisDelivery[], idles: readonly (number | '')[]): Promise<readonly number[]> {
    const ours = await this.#connection.run(HOLD, {
      attempted: `settle or extend deliveries of "${this.#name}"`,
      keys: [streamKey(this.#source.queue, this.#source.lane)],
      args: deliveries.flatMap(({ raw, deliveries: count }, index) => [raw.id, count, idles[index] ?? FREE]),
    });
    return ours as readonly number[];
  }

  get #name(): string {
    return laneName(this.#source.queue, this.#source.lane);
  }

  /** What is left of the longest lease after ours. */
  get #idle(): number {
    return LONGEST_LEASE_MS - this.#source.leaseMs;
  }
}

function leaseLost({ position }: Delivery): WaybillError {
  return new WaybillError('LEASE_LOST', `${position} is not held here any more: its lease was over.`);
}
