import { rabbitmqHarness } from './rabbitmq-harness.ts';

export const harness: ReturnType<typeof rabbitmqHarness> = rabbitmqHarness({
  version: 'old',
  nodes: 1,
  parallel: 6,
});
