import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Delivery, Subscription } from '@waybill/core/driver';
import { rabbitmq, type RabbitmqDriver, type RabbitmqOptions } from '@waybill/rabbitmq';
import { expect } from 'vitest';

import { type Rabbitmq, startRabbitmq } from '../../src/index.ts';
import { afterwards, type Place, signal, unique } from '../driver-kit.ts';
import { hasContainers, sharedOldRabbitmq, sharedRabbitmq } from '../shared.ts';

export { afterwards, consume, message, type Place, signal, take, unique, work } from '../driver-kit.ts';

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

/** As an `unknown`, which `expect.stringContaining` is not. */
export function containing(text: string): unknown {
  return expect.stringContaining(text);
}
