import { BatchError, type BatchFailure, type OutgoingMessage, WaybillError } from '@waybill/core/driver';
import type { Connection } from './memory-connection.ts';

const LONGEST_ID = 120;

/** Stores each message that can be; throws BatchError for exactly the others. */
export function storeBatch(connection: Connection, batch: readonly OutgoingMessage[]): void {
  const failures: BatchFailure[] = [];
  for (const [index, message] of batch.entries()) {
    try {
      check(connection, message);
      connection.broker.route(message, dueAt(connection, message));
    } catch (error) {
      if (!WaybillError.is(error)) throw error;
      failures.push({ index, error });
    }
  }
  if (failures.length > 0) throw new BatchError(failures, batch.length);
}

/** Body and headers, as they count against `maxMessageBytes`. */
export function messageBytes(message: OutgoingMessage): number {
  let bytes = message.body.byteLength;
  for (const name in message.headers) bytes += Buffer.byteLength(name) + Buffer.byteLength(message.headers[name] ?? '');
  return bytes;
}

function check(connection: Connection, message: OutgoingMessage): void {
  const { maxMessageBytes, maxDelayMs } = connection.settings.capabilities;
  const bytes = messageBytes(message);
  if (bytes > maxMessageBytes) {
    throw new WaybillError(
      'TOO_LARGE',
      `Message ${message.id} has ${bytes} bytes with headers, of at most ${maxMessageBytes}.`,
    );
  }
  if (message.id.length > LONGEST_ID) {
    throw new WaybillError('INVALID_ARGUMENT', `The id ${message.id} is longer than ${LONGEST_ID} characters.`);
  }
  if (message.notBefore === undefined) return;
  if ('topic' in message.target) {
    throw new WaybillError(
      'UNSUPPORTED',
      `Message ${message.id} to a topic cannot be delayed: only sends to a queue can.`,
    );
  }
  if (message.notBefore - connection.broker.clock.now() > maxDelayMs) {
    throw new WaybillError('UNSUPPORTED', `Message ${message.id} is delayed by more than maxDelayMs (${maxDelayMs}).`);
  }
}

/** Never early; late to the next multiple of `delayErrorMs`, as brokers with coarse timers are. */
function dueAt(connection: Connection, message: OutgoingMessage): number {
  const { delayErrorMs } = connection.settings.capabilities;
  const notBefore = message.notBefore ?? Number.NEGATIVE_INFINITY;
  return delayErrorMs === 0 ? notBefore : Math.ceil(notBefore / delayErrorMs) * delayErrorMs;
}
