import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';

import type {
  BatchError,
  Delivery,
  Lane,
  OutgoingMessage,
  Queue,
  Subscription,
  Topic,
  Topology,
  WaybillError,
} from '@waybill/core/driver';
import { sqs, type SqsDriver, type SqsOptions } from '@waybill/sqs';
import { beforeEach, expect, onTestFinished } from 'vitest';

import type { Elasticmq, Localemu, SqsDescriptor } from '../../src/index.ts';
import { hasContainers, sharedElasticmq, sharedLocalemu } from '../shared.ts';

/** A server of the run, for tests with names of their own. */
export interface TestServer<S extends SqsDescriptor = SqsDescriptor> {
  readonly name: string;
  readonly topics: boolean;
  /** Only where the run has containers: the tests of the file are left out elsewhere. */
  readonly server: S | undefined;
}

export function localemuServer(): TestServer<Localemu> {
  return { name: 'LocalEmu', topics: true, server: hasOrSkips(sharedLocalemu) };
}

export function elasticmqServer(): TestServer<Elasticmq> {
  return { name: 'ElasticMQ', topics: false, server: hasOrSkips(sharedElasticmq) };
}

function hasOrSkips<S>(shared: () => S): S | undefined {
  if (hasContainers) return shared();
  beforeEach(({ skip }) => skip('It needs a container.'));
  return undefined;
}

/** What a driver takes to reach it. */
export function optionsFor({ server, topics }: TestServer): SqsOptions {
  if (server === undefined) throw new Error('This needs a container.');
  const { region, endpoint, credentials } = server;
  return {
    region,
    topics,
    // The end of a test waits for the last poll.
    pollSeconds: 1,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  };
}

/** A driver that is closed with its test. */
export function openDriver(server: TestServer, options: SqsOptions = {}): SqsDriver {
  const driver = sqs({ ...optionsFor(server), ...options });
  onTestFinished(() => driver.close(Date.now() + 5_000));
  return driver;
}

export function uniqueName(base: string): string {
  return `t${randomBytes(5).toString('hex')}.${base}`;
}

/** Enough for anything that is not stuck. */
export function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}

/** A queue of its own, bound to a topic of its own where `types` are given. */
export async function makeQueue(
  driver: SqsDriver,
  { ordered = false, types = [] }: { readonly ordered?: boolean; readonly types?: readonly string[] } = {},
): Promise<{ readonly queue: Queue; readonly topic: Topic }> {
  const topic: Topic = { name: uniqueName('events'), keyed: ordered };
  const isBound = types.length > 0;
  const queue: Queue = { name: uniqueName('work'), ordered, bindings: isBound ? [{ topic, types }] : [] };
  const topology: Topology = { topics: isBound ? [topic] : [], queues: [queue] };
  await driver.admin.apply(topology, soon());
  return { queue, topic };
}

export function message(id: string, target: OutgoingMessage['target'], more: Partial<OutgoingMessage> = {}) {
  return {
    target,
    id,
    type: 'order.placed',
    contentType: 'text/plain',
    body: Buffer.from(id),
    headers: {},
    ...more,
  } satisfies OutgoingMessage;
}

export function numbered(count: number, target: OutgoingMessage['target'], more: Partial<OutgoingMessage> = {}) {
  return Array.from({ length: count }, (_, index) => message(`m${index}`, target, more));
}

export function workOf({ name }: Queue): OutgoingMessage['target'] {
  return { queue: name, lane: 'work' };
}

export async function openSubscription(driver: SqsDriver, queue: Queue, lane: Lane = 'work'): Promise<Subscription> {
  const subscription = await driver.subscribe(queue, lane, { maxInFlight: 100, onLost: () => undefined });
  onTestFinished(() => subscription.close(Date.now() + 5_000));
  return subscription;
}

/** Receives and accepts `count` messages. */
export async function receiveAll(subscription: Subscription, count: number): Promise<readonly Delivery[]> {
  const received: Delivery[] = [];
  const limit = soon();
  while (received.length < count && !limit.aborted) {
    const some = await subscription.receive(count - received.length, limit);
    received.push(...some);
    if (some.length > 0) await subscription.settle(some.map((delivery) => ({ delivery, action: 'accept' })));
  }
  expect(received).toHaveLength(count);
  return received;
}

export function textOf({ body }: Delivery): string {
  return Buffer.from(body).toString();
}

/** What `run` rejects with. */
export async function errorOf(run: Promise<unknown>): Promise<WaybillError> {
  return run.then(
    () => {
      throw new Error('it resolved');
    },
    (error: unknown) => error as WaybillError,
  );
}

/** Code by index of what a send rejects with. */
export async function failuresOf(sending: Promise<void>): Promise<Readonly<Record<number, string>>> {
  const { failures } = (await errorOf(sending)) as BatchError;
  return Object.fromEntries(failures.map(({ index, error }) => [index, error.code]));
}

/** Everything that a log could show of it. */
export function everythingOf(error: unknown): string {
  return inspect(error, { depth: 20, showHidden: true });
}
