import { type Bus, type BusOptions, createBus, defineEvent, defineQueue, type ObserveEvent } from '@waybill/core';
import { kafka, type KafkaDriver, type KafkaOptions } from '@waybill/kafka';
import { type Admin, Kafka as Client, type KafkaConfig, logLevel, Partitioners, type Producer } from 'kafkajs';
import { afterAll, beforeAll, onTestFinished, test } from 'vitest';
import { z } from 'zod';

import { type Kafka, startKafka } from '../../src/index.ts';
import { uniquePrefix } from '../bus/kit.ts';
import { hasContainers } from '../shared.ts';

/** A test that any plain Kafka will do for, also one that `WAYBILL_KAFKA_BROKERS` gives. */
export const hasKafka: boolean = hasContainers || process.env['WAYBILL_KAFKA_BROKERS'] !== undefined;
export const kafkaTest = hasKafka ? test : test.skip;

/** One node for the tests of a file; its addresses are there once they run. */
export function ownKafka(): { readonly brokers: string[] } {
  const own: { brokers: string[] } = { brokers: [] };
  let server: Kafka | undefined;
  beforeAll(async () => {
    if (!hasKafka) return;
    server = await startKafka();
    own.brokers = [...server.brokers];
  });
  afterAll(async () => {
    await server?.stop();
  });
  return own;
}

const numbered = z.object({ n: z.number(), text: z.string().optional() });
const keyed = z.object({ key: z.string(), n: z.number() });

export const Noted = defineEvent('note.taken', numbered, { topic: 'note-events' });
export const Placed = defineEvent('order.placed', keyed, { topic: 'order-events' }).keyedBy(({ key }) => key);

/** Unordered. */
export const notes = defineQueue('notes', { handles: [Noted] });
/** A second queue of the same topic. */
export const archive = defineQueue('archive', { handles: [Noted] });
/** Ordered by key. */
export const orders = defineQueue('orders', { handles: [Placed], ordered: true });

export interface KafkaBus extends Bus {
  readonly prefix: string;
  readonly driver: KafkaDriver;
  /** What it told its observer. */
  readonly events: readonly ObserveEvent[];
}

export interface OpenOptions extends Partial<Omit<BusOptions, 'driver'>> {
  readonly uses: BusOptions['uses'];
}

/** A bus on a Kafka that is closed with its test. */
export function openBus(options: KafkaOptions, busOptions: OpenOptions): KafkaBus {
  const prefix = busOptions.prefix ?? uniquePrefix();
  const events: ObserveEvent[] = [];
  const driver = kafka({ partitions: 3, ...options });
  const observe = (event: ObserveEvent): void => void events.push(event);
  const bus = createBus({ source: '/integration', observe, ...busOptions, driver, prefix });
  onTestFinished(() => bus.close({ deadlineMs: 5_000 }));
  return Object.assign(bus, { prefix, driver, events });
}

export function clientFor(config: KafkaConfig): Client {
  return new Client({
    logLevel: logLevel.NOTHING,
    requestTimeout: 10_000,
    retry: { retries: 5, initialRetryTime: 100 },
    ...config,
  });
}

/** kafkajs itself, past Waybill; closed with its test. */
export async function openAdmin(config: KafkaConfig): Promise<Admin> {
  const admin = clientFor(config).admin();
  onTestFinished(() => admin.disconnect());
  await admin.connect();
  return admin;
}

/** kafkajs itself, past Waybill; closed with its test. */
export async function openProducer(config: KafkaConfig): Promise<Producer> {
  const createPartitioner = Partitioners.DefaultPartitioner;
  const producer = clientFor(config).producer({ createPartitioner, allowAutoTopicCreation: false });
  onTestFinished(() => producer.disconnect());
  await producer.connect();
  return producer;
}

/** A fact of a call that must fail: what it rejects with. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error('It did not fail.');
}
