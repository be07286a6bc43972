// A stand-in for Azure Service Bus, for where neither the service nor its emulator can be had.
export type { Tls } from './amqp-server.ts';
export { listen, type Standin, type StandinOptions } from './standin.ts';
export type { Access, Policy } from './token.ts';
