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
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';

import {
  type Elasticmq,
  givenSqs,
  type Localemu,
  type SqsDescriptor,
  startElasticmq,
  startLocalemu,
} from '../../src/index.ts';

/** A server that the tests of a file have for themselves. */
export interface OwnServer<S extends SqsDescriptor> {
  readonly name: string;
  readonly topics: boolean;
  /** There once the tests run. */
  server: S | undefined;
}

/** A test that needs a LocalEmu with users of its own: left out where SQS is given. */
export const localemuTest = givenSqs() === undefined ? test : test.skip;

export type AnyServer = OwnServer<Localemu> | OwnServer<Elasticmq>;

export function ownLocalemu(): OwnServer<Localemu> {
  return own('LocalEmu', true, () => startLocalemu());
}

export function ownElasticmq(): OwnServer<Elasticmq> {
  return own('ElasticMQ', false, () => startElasticmq());
}

function own<S extends SqsDescriptor & { stop(): Promise<void> }>(
  name: string,
  topics: boolean,
  startServer: () => Promise<S>,
): OwnServer<S> {
  const mine: OwnServer<S> = { name, topics, server: undefined };
  beforeAll(async () => {
    mine.server = await startServer();
  });
  afterAll(async () => {
    await mine.server?.stop();
  });
  return mine;
}

/** What a driver takes to reach it. */
export function optionsFor({ server, topics }: AnyServer): SqsOptions {
  if (server === undefined) throw new Error('It is there once the tests run.');
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
export function openDriver(server: AnyServer, options: SqsOptions = {}): SqsDriver {
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
