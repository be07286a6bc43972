import { rabbitmqHarness } from './rabbitmq-harness.ts';

export const harness: ReturnType<typeof rabbitmqHarness> = rabbitmqHarness('current');
