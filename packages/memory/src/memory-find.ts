import { type Capabilities, type Queue, WaybillError } from '@waybill/core/driver';
import type { Connection } from './memory-connection.ts';
import { notFound } from './memory-error.ts';
import type { MemoryQueue } from './memory-queue.ts';

export function findQueue(connection: Connection, wanted: Queue): MemoryQueue {
  const queue = connection.broker.queues.get(wanted.name);
  if (queue === undefined) throw notFound('queue', wanted.name);
  return queue;
}

export function checkOrdering(ordering: Capabilities['ordering'], queues: readonly Queue[]): void {
  const ordered = queues.find((queue) => queue.ordered);
  if (ordering !== 'none' || ordered === undefined) return;
  throw new WaybillError(
    'UNSUPPORTED',
    `This memory driver has no ordered queues (ordering: 'none'), so not "${ordered.name}".`,
  );
}
