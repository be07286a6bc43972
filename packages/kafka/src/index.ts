export { kafka, type KafkaDriver } from './kafka-driver.ts';
export type { KafkaOptions } from './kafka-options.ts';
