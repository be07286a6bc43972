import {
  type Delivery,
  type Lane,
  type OutgoingMessage,
  type Queue,
  type SubscribeOptions,
  type Subscription,
  type Topology,
  WaybillError,
} from '@waybill/core/driver';
import { serviceBus, type ServiceBusDriver, type ServiceBusOptions } from '@waybill/service-bus';
import { afterAll, afterEach, beforeAll } from 'vitest';

import { type OwnServiceBusStandin, startServiceBusStandin } from '../../src/service-bus-standin.ts';

/** A stand-in for the tests of a file; it is there once they run. */
export function ownStandin(): { readonly broker: OwnServiceBusStandin } {
  const own: { broker: OwnServiceBusStandin } = { broker: undefined as never };
  beforeAll(async () => {
    own.broker = await startServiceBusStandin();
  });
  afterAll(() => own.broker.stop());
  return own;
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** Runs after the test, last one first. */
export function afterwards(cleanup: () => Promise<unknown>): void {
  cleanups.push(cleanup);
}

/** A driver that is closed after the test. */
export function start(broker: OwnServiceBusStandin, options: Partial<ServiceBusOptions> = {}): ServiceBusDriver {
  const { connectionString, managementUrl } = broker;
  const driver = serviceBus({ connectionString, managementUrl, leaseMs: 5_000, timeoutMs: 3_000, ...options });
  afterwards(() => driver.close(Date.now() + 2_000));
  return driver;
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

/** A queue bound to a topic of its own, applied. */
export async function place(driver: ServiceBusDriver, ordered = false): Promise<Place> {
  const topic = { name: unique('topic'), keyed: ordered };
  const queue = { name: unique('queue'), ordered, bindings: [{ topic, types: ['order.placed'] }] };
  const topology = { topics: [topic], queues: [queue] };
  await driver.admin?.apply(topology, signal());
  return { topic: topic.name, queue, topology };
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

/** `count` messages `<name>-0`, `<name>-1`, … to a queue. */
export function several(
  name: string,
  count: number,
  queue: Queue,
  more: Partial<OutgoingMessage> = {},
): OutgoingMessage[] {
  return Array.from({ length: count }, (_, index) => message(`${name}-${index}`, work(queue), more));
}

export interface Consumer extends Subscription {
  readonly lost: (readonly Delivery[])[];
}

/** A subscription that is closed after the test. */
export async function consume(
  driver: ServiceBusDriver,
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
export async function take(subscription: Subscription, count: number, ms = 10_000): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  const limit = signal(ms);
  while (deliveries.length < count) {
    const some = await subscription.receive(count - deliveries.length, limit).catch(async (error: unknown) => {
      if (!WaybillError.is(error) || !error.retryable) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return [];
    });
    if (some.length === 0 && limit.aborted) {
      throw new Error(`${deliveries.length} of ${count} deliveries came within ${ms} ms`);
    }
    deliveries.push(...some);
  }
  return deliveries;
}

/** Nothing comes within `ms`. */
export async function nothing(subscription: Subscription, ms: number): Promise<boolean> {
  return (await subscription.receive(1, signal(ms))).length === 0;
}

export function idOf(delivery: Delivery): string {
  return (delivery.raw as { readonly messageId: string }).messageId;
}

export async function settleAll(
  subscription: Subscription,
  deliveries: readonly Delivery[],
  action: 'accept' | 'release' = 'accept',
): Promise<void> {
  await subscription.settle(deliveries.map((delivery) => ({ delivery, action })));
}

/** Tries until `check` throws no more. */
export async function eventually<T>(check: () => Promise<T> | T, ms = 10_000): Promise<T> {
  for (const until = Date.now() + ms; ;) {
    try {
      return await check();
    } catch (cause) {
      if (Date.now() > until) throw cause;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** What a call that must fail rejects with. */
export async function failureOf(call: Promise<unknown>): Promise<WaybillError> {
  try {
    await call;
  } catch (error) {
    if (WaybillError.is(error)) return error;
    throw error;
  }
  throw new Error('It did not fail.');
}
