import { kafkaHarness } from './kafka-harness.ts';

export const harness: ReturnType<typeof kafkaHarness> = kafkaHarness({ nodes: 1, parallel: 4 });
