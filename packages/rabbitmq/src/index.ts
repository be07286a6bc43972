export { rabbitmq, type RabbitmqDriver } from './rabbitmq-driver.ts';
export type { RabbitmqOptions } from './rabbitmq-options.ts';
