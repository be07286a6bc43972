import type { Kafka, Producer, ProducerConfig } from 'kafkajs';
import { encode, type Sample } from '../envelope.ts';
import type { Order } from '../order.ts';
import type { KafkaPlace } from './kafka.ts';

export async function connect({ brokers }: KafkaPlace): Promise<Kafka> {
  const { default: kafkajs } = await import('kafkajs');
  return new kafkajs.Kafka({ brokers: [...brokers], logLevel: kafkajs.logLevel.NOTHING });
}

/** The guarantees of Waybill's: stored by all replicas in sync, and stored once though a request is repeated. */
export const PRODUCER: ProducerConfig = { idempotent: true };
export const ALL_IN_SYNC = -1;

export async function connectProducer(kafka: Kafka): Promise<Producer> {
  const { default: kafkajs } = await import('kafkajs');
  const producer = kafka.producer({ ...PRODUCER, createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  await producer.connect();
  return producer;
}

export interface KafkaMessage {
  readonly value: Buffer;
  readonly headers: Record<string, string>;
}

export function messageOf(sample: Sample, order: Order): KafkaMessage {
  return { value: Buffer.from(encode(sample, order).body), headers: headersOf(sample) };
}

export function headersOf({ properties }: Sample): Record<string, string> {
  return properties as Record<string, string>;
}
