import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
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
import { rabbitmq, type RabbitmqDriver, type RabbitmqOptions } from '@waybill/rabbitmq';
import { afterEach, expect } from 'vitest';

import { type Rabbitmq, startRabbitmq } from '../../src/index.ts';
import { hasContainers, sharedOldRabbitmq, sharedRabbitmq } from '../shared.ts';

export interface Broker {
  readonly name: string;
  readonly url: string;
  readonly managementUrl: string | undefined;
  /** Runs rabbitmqctl on the broker; undefined where the tests may not touch it. */
  readonly control: ((...parameters: string[]) => Promise<string>) | undefined;
  /** A broker of the test's own, for faults that others would feel; removed after the test. */
  readonly own: (() => Promise<OwnBroker>) | undefined;
}

export interface OwnBroker {
  readonly url: string;
  readonly control: (...parameters: string[]) => Promise<string>;
  readonly restart: () => Promise<void>;
}

/** The current broker of the run, and the old one where containers can be used. */
export function brokers(): readonly Broker[] {
  const shared = [{ name: 'current', running: sharedRabbitmq() }] as { name: 'current' | 'old'; running: Rabbitmq }[];
  if (hasContainers) shared.push({ name: 'old', running: sharedOldRabbitmq() });
  return shared.map(({ name, running }) => ({
    name,
    url: running.url,
    managementUrl: running.managementUrl,
    control: hasContainers ? controlOf(running) : undefined,
    own: hasContainers ? () => startOwn(name) : undefined,
  }));
}

async function startOwn(version: 'current' | 'old'): Promise<OwnBroker> {
  const running = await startRabbitmq({ version });
  afterwards(() => running.stop());
  return {
    url: running.url,
    control: controlOf(running),
    async restart() {
      await running.saveQueues();
      await running.restart();
    },
  };
}

function controlOf(running: Rabbitmq): OwnBroker['control'] {
  return (...parameters) => running.exec(['rabbitmqctl', '-q', ...parameters]);
}

/** A TCP proxy that misbehaves as networks do: nothing is lost inside a connection that goes on. */
export interface Proxy {
  readonly url: string;
  readonly connections: () => number;
  /** Ends every connection. */
  cut(): void;
  /** From now on nothing passes, in either or in one direction; connections stay open. */
  freeze(direction?: 'both' | 'answers'): void;
  thaw(): void;
  refuse(refuses: boolean): void;
  close(): Promise<void>;
}

type Pair = readonly [client: Socket, upstream: Socket];

async function startProxy(url: string, rewrite: (answer: Buffer) => Buffer = (answer) => answer): Promise<Proxy> {
  const target = new URL(url);
  const pairs = new Set<Pair>();
  let frozen: 'no' | 'both' | 'answers' = 'no';
  let refusing = false;
  const apply = ([client, upstream]: Pair): void => {
    client[frozen === 'both' ? 'pause' : 'resume']();
    upstream[frozen === 'no' ? 'resume' : 'pause']();
  };
  const server = createServer((client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const pair: Pair = [client, connect(Number(target.port), target.hostname)];
    pairs.add(pair);
    join(pair, rewrite, () => pairs.delete(pair));
    apply(pair);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const address = new URL(url);
  address.hostname = '127.0.0.1';
  address.port = String(port);
  return {
    url: address.href,
    connections: () => pairs.size,
    cut: () => pairs.forEach(([client, upstream]) => (client.resetAndDestroy(), upstream.destroy())),
    freeze(direction = 'both') {
      frozen = direction;
      pairs.forEach(apply);
    },
    thaw() {
      frozen = 'no';
      pairs.forEach(apply);
    },
    refuse(refuses) {
      refusing = refuses;
    },
    close: () =>
      new Promise((resolve) => {
        pairs.forEach(([client, upstream]) => (client.destroy(), upstream.destroy()));
        server.close(() => resolve());
      }),
  };
}

function join([client, upstream]: Pair, rewrite: (answer: Buffer) => Buffer, onClose: () => void): void {
  for (const socket of [client, upstream]) {
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      onClose();
      client.destroy();
      upstream.destroy();
    });
  }
  client.on('data', (data) => upstream.write(data));
  upstream.on('data', (data) => client.write(rewrite(data)));
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** Runs after the test, last one first. */
export function afterwards(cleanup: () => Promise<unknown>): void {
  cleanups.push(cleanup);
}

export function start(options: RabbitmqOptions): RabbitmqDriver {
  const driver = rabbitmq(options);
  afterwards(() => driver.close(Date.now() + 2_000));
  return driver;
}

export async function proxied(url: string, rewrite?: (answer: Buffer) => Buffer): Promise<Proxy> {
  const proxy = await startProxy(url, rewrite);
  afterwards(() => proxy.close());
  return proxy;
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

/** A queue bound to a topic of its own, applied, and deleted after the test. */
export async function place(driver: RabbitmqDriver, ordered = false): Promise<Place> {
  const topic = { name: unique('topic'), keyed: ordered };
  const queue = { name: unique('queue'), ordered, bindings: [{ topic, types: ['order.placed'] }] };
  const topology = { topics: [topic], queues: [queue] };
  await driver.admin.apply(topology, signal());
  afterwards(async () => {
    const channel = await (await driver.connection()).createChannel();
    await channel.deleteQueue(queue.name);
    await channel.deleteQueue(`${queue.name}.dead`);
    if (ordered) await channel.deleteQueue(`waybill.trial.${queue.name}`);
    await channel.deleteExchange(topic.name);
    await channel.close();
  });
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

export interface Consumer extends Subscription {
  readonly lost: (readonly Delivery[])[];
}

export async function consume(
  driver: RabbitmqDriver,
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

export function idOf(delivery: Delivery): string {
  return (delivery.raw as { readonly properties: { readonly messageId: string } }).properties.messageId;
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

/** As an `unknown`, which `expect.stringContaining` is not. */
export function containing(text: string): unknown {
  return expect.stringContaining(text);
}
