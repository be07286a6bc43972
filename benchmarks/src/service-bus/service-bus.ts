import { atLeast } from '../floors.ts';
import type { Broker } from '../side.ts';

export interface ServiceBusPlace {
  readonly connectionString: string;
  /** Of what speaks http there: the client knows https alone. */
  readonly managementUrl?: string;
}

// What only the process that compares needs is loaded there: it would count as memory of each side.
export const broker: Broker<ServiceBusPlace> = {
  name: 'service-bus',
  title: 'Azure Service Bus',
  // What compiling costs a new process would be a good part of fewer.
  messages: 20_000,
  sides: {
    '@azure/service-bus': () => import('./azure.ts'),
    waybill: () => import('./waybill.ts'),
  },
  start: async (progress) => (await import('./grounds.ts')).start(progress),
  grounds: async (place) => (await import('./grounds.ts')).grounds(place),
  floors: (numbers) => [
    ...atLeast(numbers, 0.9, { measure: 'publish', than: '@azure/service-bus' }),
    ...atLeast(numbers, 0.9, { measure: 'consume', than: '@azure/service-bus' }),
  ],
};
