import { atLeast, atMost } from '../floors.ts';
import type { MeasureId } from '../measures.ts';
import type { Broker } from '../side.ts';

export interface KafkaPlace {
  readonly brokers: readonly string[];
}

export const BY_OFFSET = 'settles no single message: an offset accepts all before it, which costs the client less';
export const NO_RETRIES = 'has no retries that let other messages through';

/** For one more way of consuming with a library. */
export function onlyConsumes(library: string): Readonly<Partial<Record<MeasureId, string>>> {
  const others = ['publish', 'awaited-256', 'awaited-4096', 'awaited-65536', 'latency', 'storm'] as const;
  return Object.fromEntries(others.map((measure) => [measure, `see ${library}`]));
}

// What only the process that compares needs is loaded there: it would count as memory of each side.
export const broker: Broker<KafkaPlace> = {
  name: 'kafka',
  title: 'Kafka',
  // The client's own work is all there is: what is not compiled yet would be half of it.
  messages: 20_000,
  warmUp: 20_000,
  sides: {
    kafkajs: () => import('./kafkajs.ts'),
    waybill: () => import('./waybill.ts'),
    'kafkajs eachMessage': () => import('./kafkajs-each-message.ts'),
    'kafkajs commitOffsets': () => import('./kafkajs-commit-offsets.ts'),
    '@platformatic/kafka': () => import('./platformatic.ts'),
    '@platformatic/kafka commit': () => import('./platformatic-commit.ts'),
    '@nestjs/microservices': () => import('./nestjs.ts'),
  },
  start: async (progress) => (await import('./grounds.ts')).start(progress),
  grounds: async (place) => (await import('./grounds.ts')).grounds(place),
  floors: (numbers) => [
    ...atLeast(numbers, 0.8, { measure: 'publish', than: 'kafkajs' }),
    ...atLeast(numbers, 4, { measure: 'publish', than: 'kafkajs eachMessage' }),
    ...numbers.peers('publish').flatMap((than) => atLeast(numbers, 1, { measure: 'publish', than })),
    ...(['awaited-256', 'awaited-4096', 'awaited-65536'] as const).flatMap((measure) =>
      atMost(numbers, 1.2, { measure, than: 'kafkajs' }),
    ),
    ...atLeast(numbers, 0.7, { measure: 'consume', than: 'kafkajs' }),
    ...atLeast(numbers, 20, { measure: 'consume', than: 'kafkajs commitOffsets' }),
    ...numbers.peers('consume').flatMap((than) => atLeast(numbers, 1, { measure: 'consume', than })),
  ],
};
