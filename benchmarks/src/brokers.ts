import type { Broker } from './side.ts';

/** Each module exports its `broker`. */
export const brokers: Readonly<Record<string, () => Promise<{ readonly broker: Broker }>>> = {
  kafka: () => import('./kafka/kafka.ts'),
  rabbitmq: () => import('./rabbitmq/rabbitmq.ts'),
  'service-bus': () => import('./service-bus/service-bus.ts'),
  sqs: () => import('./sqs/sqs.ts'),
};
