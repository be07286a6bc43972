export { type FakeTime, fakeTime } from './fake-time.ts';
export { MemoryBroker } from './memory-broker.ts';
export type { MemoryConnection } from './memory-connection.ts';
export { memory, type MemoryDriver } from './memory-driver.ts';
export type { MemoryOptions } from './memory-options.ts';
export type { StoredMessage } from './stored-message.ts';
