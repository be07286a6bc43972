import type { Delivery } from '../../src/driver/index.ts';
import { encodeStructured } from '../../src/envelope/encode.ts';
import type { Bookkeeping } from '../../src/failure/bookkeeping.ts';
import { decode, WaybillError } from '../../src/index.ts';
import { Task } from '../../src/runtime/task.ts';

export const NOW: number = Date.UTC(2026, 0, 1);

function deliveryOf(more: Partial<Delivery> = {}): Delivery {
  const metadata = { id: 'order-7', source: '/shop', time: '2026-01-01T00:00:00.000Z', version: 1, correlationId: 'c' };
  const { contentType, body, headers } = encodeStructured({ type: 'order.placed', data: { total: 1 }, metadata });
  return {
    contentType,
    body,
    headers,
    deliveries: 1,
    leaseUntil: Number.POSITIVE_INFINITY,
    position: '1',
    raw: undefined,
    ...more,
  };
}

export function taskOf(bookkeeping: Partial<Bookkeeping> = {}, more: Partial<Delivery> = {}): Task {
  const delivery = deliveryOf(more);
  const task = new Task(delivery, { attempt: 1, queue: 'billing', ...bookkeeping }, NOW);
  task.message = decode(delivery);
  return task;
}

/** A message that nobody can read. */
export function unreadable(more: Partial<Delivery> = {}): Task {
  const delivery = deliveryOf({ contentType: 'text/plain', body: new Uint8Array([255]), headers: {}, ...more });
  const task = new Task(delivery, { attempt: 1, queue: 'billing' }, NOW);
  task.poison = { reason: 'undecodable', error: new WaybillError('INVALID_MESSAGE', 'it is no text') };
  return task;
}
