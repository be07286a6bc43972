import type { ServiceBusReceivedMessage } from '@azure/service-bus';
import type { Delivery, Headers } from '@waybill/core/driver';
import type Long from 'long';

const NO_HEADERS: Headers = Object.freeze({});
/** As long as a copy's id may get when the core adds to it. */
const LONGEST_POSITION = 96;
/** What the broker adds to a dead letter; copied on, it would travel with every redrive. */
const REASON = 'DeadLetterReason';
const DESCRIPTION = 'DeadLetterErrorDescription';
/** The description of what we rejected. A letter with another one, or none, was made by the broker or by hand. */
export const REJECTED = 'Rejected by its consumer. The property "waybill" tells more.';

/** Where a message was read, and until when it is ours. */
export interface Origin {
  /** Names its entity in positions. */
  readonly name: string;
  readonly leaseUntil: number;
  /** Hand-outs that the broker did not count. */
  readonly uncounted?: number;
}

export function fromServiceBusMessage(message: ServiceBusReceivedMessage, origin: Origin): Delivery {
  const properties = message.applicationProperties;
  const { messageId, sessionId } = message;
  const delivery: Mutable = {
    contentType: message.contentType ?? 'application/octet-stream',
    body: bodyOf(message.body),
    headers: properties === undefined ? NO_HEADERS : toHeaders(properties),
    deliveries: (message.deliveryCount ?? 0) + 1 + (origin.uncounted ?? 0),
    leaseUntil: origin.leaseUntil,
    position: positionOf(message, origin.name),
    raw: message,
  };
  // A message without a key has its own id there.
  if (sessionId !== undefined && sessionId !== messageId) delivery.key = sessionId;
  const reason = message.deadLetterReason;
  if (reason !== undefined && message.deadLetterErrorDescription !== REJECTED) delivery.brokerReason = reason;
  return delivery;
}

type Mutable = { -readonly [Name in keyof Delivery]: Delivery[Name] };

/** Counted per entity, and never used twice. */
function positionOf({ sequenceNumber, messageId }: ServiceBusReceivedMessage, name: string): string {
  if (sequenceNumber !== undefined) return `${name}@${decimal(sequenceNumber)}`;
  return String(messageId).slice(0, LONGEST_POSITION);
}

/** Its own way divides again and again; most are small enough to be numbers. */
function decimal(value: Long): string {
  const number = value.toNumber();
  return Number.isSafeInteger(number) ? String(number) : value.toString();
}

/** Messages of others may be text, values or sequences, which the client has decoded. */
function bodyOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body;
  if (body === undefined || body === null) return Buffer.alloc(0);
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

function toHeaders(properties: Readonly<Record<string, unknown>>): Headers {
  let headers: Record<string, string> | undefined;
  for (const name in properties) {
    if (name === REASON || name === DESCRIPTION) continue;
    const value = toText(properties[name]);
    if (value !== undefined) (headers ??= {})[name.toLowerCase()] = value;
  }
  return headers ?? NO_HEADERS;
}

function toText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return undefined;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  return typeof value === 'object' ? JSON.stringify(value) : (value as number | boolean | bigint).toString();
}
