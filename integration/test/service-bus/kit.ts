import { type Delivery, type OutgoingMessage, type Queue, type Subscription, WaybillError } from '@waybill/core/driver';
import { serviceBus, type ServiceBusDriver, type ServiceBusOptions } from '@waybill/service-bus';
import { afterAll, beforeAll } from 'vitest';

import { type OwnServiceBusStandin, startServiceBusStandin } from '../../src/service-bus-standin.ts';
import { afterwards, message, type Place, signal, unique, work } from '../driver-kit.ts';

export { afterwards, consume, message, type Place, signal, take, unique, work } from '../driver-kit.ts';

/** A stand-in for the tests of a file; it is there once they run. */
export function ownStandin(): { readonly broker: OwnServiceBusStandin } {
  const own: { broker: OwnServiceBusStandin } = { broker: undefined as never };
  beforeAll(async () => {
    own.broker = await startServiceBusStandin();
  });
  afterAll(() => own.broker.stop());
  return own;
}

/** A driver that is closed after the test. */
export function start(broker: OwnServiceBusStandin, options: Partial<ServiceBusOptions> = {}): ServiceBusDriver {
  const { connectionString, managementUrl } = broker;
  const driver = serviceBus({ connectionString, managementUrl, leaseMs: 5_000, timeoutMs: 3_000, ...options });
  afterwards(() => driver.close(Date.now() + 2_000));
  return driver;
}

/** A queue bound to a topic of its own, applied. */
export async function place(driver: ServiceBusDriver, ordered = false): Promise<Place> {
  const topic = { name: unique('topic'), keyed: ordered };
  const queue = { name: unique('queue'), ordered, bindings: [{ topic, types: ['order.placed'] }] };
  const topology = { topics: [topic], queues: [queue] };
  await driver.admin?.apply(topology, signal());
  return { topic: topic.name, queue, topology };
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
export async function eventually<T>(check: () => Promise<T> | T, ms = 30_000): Promise<T> {
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
