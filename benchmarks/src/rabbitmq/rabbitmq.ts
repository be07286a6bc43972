import { atLeast, atMost } from '../floors.ts';
import type { Broker } from '../side.ts';

export interface RabbitmqPlace {
  readonly url: string;
}

/** Where a side by hand keeps what failed until its next attempt. */
export function waitingName(queue: string): string {
  return `${queue}.waiting`;
}

// What only the process that compares needs is loaded there: it would count as memory of each side.
export const broker: Broker<RabbitmqPlace> = {
  name: 'rabbitmq',
  title: 'RabbitMQ',
  // What one pause costs would be a good part of fewer.
  messages: 20_000,
  warmUp: 10_000,
  sides: {
    amqplib: () => import('./amqplib.ts'),
    waybill: () => import('./waybill.ts'),
    'amqp-connection-manager': () => import('./amqp-connection-manager.ts'),
    'rabbitmq-client': () => import('./rabbitmq-client.ts'),
    '@golevelup/nestjs-rabbitmq': () => import('./golevelup.ts'),
    '@nestjs/microservices': () => import('./nestjs.ts'),
    rascal: () => import('./rascal.ts'),
    '@message-queue-toolkit/amqp': () => import('./message-queue-toolkit.ts'),
  },
  start: async (progress) => (await import('./grounds.ts')).start(progress),
  grounds: async (place) => (await import('./grounds.ts')).grounds(place),
  floors: (numbers) => [
    ...atLeast(numbers, 0.9, { measure: 'publish', than: 'amqplib' }),
    ...atLeast(numbers, 0.85, { measure: 'consume', than: 'amqplib' }),
    ...numbers.peers('publish').flatMap((than) => atLeast(numbers, 1, { measure: 'publish', than })),
    ...numbers.peers('consume').flatMap((than) => atLeast(numbers, 1.2, { measure: 'consume', than })),
    ...atMost(numbers, 1.3, { measure: 'awaited-4096', than: 'amqplib' }),
  ],
};
