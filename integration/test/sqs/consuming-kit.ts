import type { BatchError, Delivery, OutgoingMessage, Queue, Subscription } from '@waybill/core/driver';
import { sqs, type SqsDriver, type SqsOptions } from '@waybill/sqs';

import { afterwards, signal } from '../driver-kit.ts';
import { type TestServer, optionsFor, elasticmqServer, localemuServer, uniqueName } from './kit.ts';

export { consume, signal, take, work } from '../driver-kit.ts';

export type Server = TestServer;

/** Both, for the tests of a file. */
export function servers(): readonly Server[] {
  return [localemuServer(), elasticmqServer()];
}

/** A driver that is closed after the test; its polls are short, so that closing does not wait for them. */
export function start(server: Server, options: SqsOptions = {}): SqsDriver {
  const driver = sqs({ ...optionsFor(server), pollSeconds: 1, ...options });
  afterwards(() => driver.close(Date.now() + 2_000));
  return driver;
}

/** A queue that no other test has. */
export async function place(driver: SqsDriver, ordered = false): Promise<Queue> {
  const queue = { name: uniqueName('work'), ordered, bindings: [] };
  await driver.admin.apply({ topics: [], queues: [queue] }, signal());
  return queue;
}

export function message(id: string, target: OutgoingMessage['target'], more: Partial<OutgoingMessage> = {}) {
  return {
    target,
    id,
    type: 'order.placed',
    contentType: 'application/json',
    body: Buffer.from(`{"id":"${id}"}`),
    headers: { 'x-id': id },
    ...more,
  } satisfies OutgoingMessage;
}

export function many(
  count: number,
  target: OutgoingMessage['target'],
  more: (index: number) => Partial<OutgoingMessage> = () => ({}),
): readonly OutgoingMessage[] {
  return Array.from({ length: count }, (_, index) => message(`m${index}`, target, more(index)));
}

export function dead({ name }: Queue): OutgoingMessage['target'] {
  return { queue: name, lane: 'dead' };
}

/** Sends in batches that one call takes. */
export async function sendAll(driver: SqsDriver, messages: readonly OutgoingMessage[]): Promise<void> {
  for (let from = 0; from < messages.length; from += 100) {
    await driver.send(messages.slice(from, from + 100), signal());
  }
}

/** What comes within `ms`. */
export async function rest(subscription: Subscription, ms: number): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  const limit = signal(ms);
  while (!limit.aborted) deliveries.push(...(await subscription.receive(100, limit)));
  return deliveries;
}

export function idOf({ headers }: Delivery): string {
  return headers['x-id'] ?? '?';
}

export function settleAll(
  subscription: Subscription,
  deliveries: readonly Delivery[],
  action: 'accept' | 'release' = 'accept',
): Promise<void> {
  return subscription.settle(deliveries.map((delivery) => ({ delivery, action })));
}

/** `index code` of each failure, none when it resolves. */
export function codesOf(settling: Promise<unknown>): Promise<readonly string[]> {
  return settling.then(
    () => [],
    (error: unknown) => (error as BatchError).failures.map((failure) => `${failure.index} ${failure.error.code}`),
  );
}
