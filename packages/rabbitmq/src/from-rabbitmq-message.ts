import type { Delivery, Headers, Lane } from '@waybill/core/driver';
import type { Message } from 'amqplib';

const NO_HEADERS: Headers = Object.freeze({});
/** As long as a copy's id may get when the core adds to it. */
const LONGEST_POSITION = 96;

/** `origin` names the channel, whose delivery tags start at 1 like any other's. */
export function fromRabbitmqMessage(message: Message, lane: Lane, origin: string): Delivery {
  const { properties, fields } = message;
  const native: Readonly<Record<string, unknown>> | undefined = properties.headers;
  const id: unknown = properties.messageId;
  const count = native?.['x-delivery-count'];
  const delivery = {
    contentType: typeof properties.contentType === 'string' ? properties.contentType : 'application/octet-stream',
    body: message.content,
    headers: native === undefined ? NO_HEADERS : toHeaders(native),
    // 4.3 does not count a delivery that was given back; the flag tells at least that there was one.
    deliveries: Math.max(typeof count === 'number' ? count + 1 : 1, fields.redelivered ? 2 : 1),
    // No clock: it is ours until the channel closes.
    leaseUntil: Number.POSITIVE_INFINITY,
    position:
      typeof id === 'string' && id !== '' && id.length <= LONGEST_POSITION ? id : `${origin}@${fields.deliveryTag}`,
    raw: message,
  };
  const brokerReason = lane === 'dead' && native !== undefined ? reasonOf(native) : undefined;
  return brokerReason === undefined ? delivery : { ...delivery, brokerReason };
}

/** `x-` headers are the broker's: copied on, they would travel with every retry and redrive. */
function toHeaders(native: Readonly<Record<string, unknown>>): Headers {
  let headers: Record<string, string> | undefined;
  for (const name in native) {
    const lower = name.toLowerCase();
    if (lower.startsWith('x-')) continue;
    const value = toText(native[name]);
    if (value !== undefined) (headers ??= {})[lower] = value;
  }
  return headers ?? NO_HEADERS;
}

function toText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return undefined;
  if (Buffer.isBuffer(value)) return value.toString('utf8');
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  const { '!': kind, value: inner } = value as { readonly '!'?: unknown; readonly value?: unknown };
  // AMQP's timestamps are in seconds.
  if (kind === 'timestamp' && typeof inner === 'number') return new Date(inner * 1_000).toISOString();
  return JSON.stringify(value);
}

/** The last time counts: what was delayed has died of `expired` on the ladder before. */
function reasonOf(native: Readonly<Record<string, unknown>>): string | undefined {
  const reason = native['x-last-death-reason'] ?? native['x-first-death-reason'];
  return typeof reason === 'string' ? reason : undefined;
}
