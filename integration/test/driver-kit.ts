import {
  type Delivery,
  type Driver,
  type Lane,
  type OutgoingMessage,
  type Queue,
  type SubscribeOptions,
  type Subscription,
  type Topology,
  WaybillError,
} from '@waybill/core/driver';
import { afterEach } from 'vitest';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** Runs after the test, last one first. */
export function afterwards(cleanup: () => Promise<unknown>): void {
  cleanups.push(cleanup);
}

let counter = 0;

/** A name that no other test has. */
export function unique(kind: string): string {
  counter += 1;
  return `${kind}-${process.pid}-${Date.now().toString(36)}-${counter}`;
}

export interface Place {
  readonly topic: string;
  readonly queue: Queue;
  readonly topology: Topology;
}

export function signal(ms = 15_000): AbortSignal {
  return AbortSignal.timeout(ms);
}

export function message(
  id: string,
  target: OutgoingMessage['target'],
  more: Partial<OutgoingMessage> = {},
): OutgoingMessage {
  return {
    target,
    id,
    type: 'order.placed',
    contentType: 'application/json',
    body: Buffer.from(`{"id":"${id}"}`),
    headers: {},
    ...more,
  };
}

export function work(queue: Queue): OutgoingMessage['target'] {
  return { queue: queue.name, lane: 'work' };
}

export interface Consumer extends Subscription {
  readonly lost: (readonly Delivery[])[];
}

/** A subscription that is closed after the test. */
export async function consume(
  driver: Pick<Driver, 'subscribe'>,
  queue: Queue,
  lane: Lane = 'work',
  options: Partial<SubscribeOptions> = {},
): Promise<Consumer> {
  const lost: (readonly Delivery[])[] = [];
  const subscription = await driver.subscribe(queue, lane, {
    maxInFlight: 100,
    onLost: (deliveries) => lost.push(deliveries),
    ...options,
  });
  afterwards(() => subscription.close(Date.now() + 2_000));
  return Object.assign(subscription, { lost });
}

/** Receives exactly `count`, or fails after `ms`. */
export async function take(subscription: Subscription, count: number, ms = 30_000): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  const limit = signal(ms);
  let cause: unknown;
  while (deliveries.length < count) {
    let some: readonly Delivery[] = [];
    try {
      some = await subscription.receive(count - deliveries.length, limit);
    } catch (error) {
      if (!WaybillError.is(error) || !error.retryable) throw error;
      cause = error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    if (some.length === 0 && limit.aborted) {
      throw new Error(`${deliveries.length} of ${count} deliveries came within ${ms} ms`, { cause });
    }
    deliveries.push(...some);
  }
  return deliveries;
}
