import { deadName, type Delivery, type OutgoingMessage, systemClock, type Target } from '@waybill/core/driver';

/** Its id, how often it was handed out, and what is in it: `meta`, its value, `body`, its value. */
export type Entry = readonly [id: Buffer, deliveries: number, fields: readonly Buffer[]];

/** The six values that the script takes for a message. */
export function toRedis(message: OutgoingMessage): readonly (string | number | Uint8Array)[] {
  const { target, id, type, contentType, headers, key, notBefore, body } = message;
  const kind = 'topic' in target ? 'topic' : 'queue';
  const delay = notBefore === undefined ? '' : Math.max(Math.ceil(notBefore - systemClock.now()), 0);
  return [kind, nameOf(target), type, delay, JSON.stringify({ id, type, contentType, headers, key }), body];
}

export function fromRedis(raw: Entry, lane: string, leaseUntil: number): Delivery & { readonly raw: Entry } {
  const [id, deliveries, [, meta, , body = new Uint8Array()]] = raw;
  const { contentType = 'application/octet-stream', headers = {}, key } = metaOf(String(meta));
  const content = { contentType, headers, body, ...(key === undefined ? {} : { key }) };
  return { ...content, deliveries, leaseUntil, position: `${lane}@${String(id)}`, raw };
}

export function nameOf(target: Target): string {
  if ('topic' in target) return target.topic;
  return target.lane === 'dead' ? deadName(target.queue) : target.queue;
}

/** Others may have written entries with anything in them. */
function metaOf(json: string): Partial<Pick<Delivery, 'contentType' | 'headers' | 'key'>> {
  try {
    return { ...(JSON.parse(json) as object) };
  } catch {
    return {};
  }
}
