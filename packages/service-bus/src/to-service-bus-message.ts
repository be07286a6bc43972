import { createHash } from 'node:crypto';
import type { ServiceBusMessage } from '@azure/service-bus';
import { type OutgoingMessage, WaybillError } from '@waybill/core/driver';

/** The broker's limit of a session id. */
const LONGEST_SESSION_ID = 128;
/** All properties of a message share 64 KiB; some are the broker's own. */
const PROPERTY_BYTES = 61_440;

/**
 * The session is the key, or the id where there is none: an ordered queue takes no message without. Others do not look at
 * it.
 */
export function toServiceBusMessage(message: OutgoingMessage): ServiceBusMessage {
  const { body, notBefore } = message;
  const result: ServiceBusMessage = {
    body: Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength),
    contentType: message.contentType,
    messageId: message.id,
    subject: message.type,
    sessionId: sessionOf(message),
    applicationProperties: message.headers,
  };
  if (notBefore !== undefined) result.scheduledEnqueueTimeUtc = new Date(notBefore);
  return result;
}

function sessionOf({ key, id }: OutgoingMessage): string {
  if (key === undefined || key === '') return id;
  return key.length <= LONGEST_SESSION_ID ? key : `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

/** Why the broker would refuse it, told before it is sent. */
export function refusalOf({ id, body, headers }: OutgoingMessage, maxMessageBytes: number): WaybillError | undefined {
  const properties = propertyBytes(headers);
  if (properties > PROPERTY_BYTES)
    return tooLarge(`The headers of message ${id} have ${properties} bytes`, PROPERTY_BYTES);
  const bytes = body.byteLength + properties;
  return bytes > maxMessageBytes ? tooLarge(`Message ${id} has ${bytes} bytes`, maxMessageBytes) : undefined;
}

/** Whether a message can have all of these properties. */
export function propertiesFit(headers: Readonly<Record<string, unknown>>): boolean {
  return propertyBytes(headers) <= PROPERTY_BYTES;
}

function propertyBytes(headers: Readonly<Record<string, unknown>>): number {
  let bytes = 0;
  for (const name in headers) bytes += Buffer.byteLength(name) + Buffer.byteLength(String(headers[name])) + 8;
  return bytes;
}

function tooLarge(what: string, limit: number): WaybillError {
  return new WaybillError('TOO_LARGE', `${what}, more than the ${limit} that Service Bus takes. Send less.`);
}
