import { rabbitmqHarness } from './rabbitmq-harness.ts';

/** A message is stored once two of three nodes have it. Each scenario opens three proxies. */
export const harness: ReturnType<typeof rabbitmqHarness> = rabbitmqHarness({
  version: 'current',
  nodes: 3,
  parallel: 3,
});
