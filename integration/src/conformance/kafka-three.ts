import { kafkaHarness } from './kafka-harness.ts';

/** A message is stored once two of three nodes have it. Each scenario opens three proxies. */
export const harness: ReturnType<typeof kafkaHarness> = kafkaHarness({ nodes: 3, parallel: 3 });
