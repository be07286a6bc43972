import { randomBytes } from 'node:crypto';
import type { Driver, Topology } from '@waybill/core';
import { deadName } from '@waybill/core/driver';
import { memory, MemoryBroker } from '@waybill/memory';
import { rabbitmq } from '@waybill/rabbitmq';
import type { Shutdown } from './shutdown.ts';

/** Where the demo runs. All that depends on the broker is in this file. */
export interface Broker {
  readonly title: string;
  /** Keeps runs apart on a broker that others use. */
  readonly prefix: string;
  /** A driver for one service. */
  connect(): Driver;
  /** Removes what the run made on a broker that stays. */
  clean(topology: Topology): Promise<void>;
}

interface OpenOptions {
  readonly url: string | undefined;
  readonly shutdown: Shutdown;
}

const brokers = { memory: openMemory, rabbitmq: openRabbitmq };

export type BrokerName = keyof typeof brokers;

export const brokerNames = Object.keys(brokers) as readonly BrokerName[];

export function isBrokerName(name: string): name is BrokerName {
  return Object.hasOwn(brokers, name);
}

/** What it starts, `shutdown` stops. */
export function openBroker(name: BrokerName, options: OpenOptions): Promise<Broker> {
  return brokers[name](options);
}

async function openMemory(): Promise<Broker> {
  const broker = new MemoryBroker();
  return { title: 'memory, a broker in this process', prefix: '', connect: () => memory({ broker }), clean: nothing };
}

async function openRabbitmq({ url, shutdown }: OpenOptions): Promise<Broker> {
  const prefix = `demo-${randomBytes(4).toString('hex')}`;
  if (url !== undefined) {
    const connect = (): Driver => rabbitmq({ url });
    return { title: 'the RabbitMQ of --url', prefix, connect, clean: (topology) => removeFrom(url, topology) };
  }
  // Only needed here, and slow to load.
  const { printProgress, startRabbitmq } = await import('@waybill/integration');
  const starting = startRabbitmq({ progress: printProgress() });
  shutdown.add(() => starting.then((started) => started.stop(), nothing));
  const started = await starting;
  const title = `RabbitMQ ${started.version}, started for this run`;
  return { title, prefix, connect: () => rabbitmq({ url: started.url }), clean: nothing };
}

/** The queues of the delay ladder, `waybill.delay.*`, stay: all applications on a broker share them. */
async function removeFrom(url: string, { queues, topics }: Topology): Promise<void> {
  const driver = rabbitmq({ url });
  try {
    const channel = await (await driver.connection()).createChannel();
    for (const { name } of queues) {
      await channel.deleteQueue(name);
      await channel.deleteQueue(deadName(name));
    }
    for (const { name } of topics) await channel.deleteExchange(name);
  } finally {
    await driver.close(Date.now() + 2_000);
  }
}

async function nothing(): Promise<void> {}
