export { serviceBus, type ServiceBusDriver } from './service-bus-driver.ts';
export type { ServiceBusOptions } from './service-bus-options.ts';
