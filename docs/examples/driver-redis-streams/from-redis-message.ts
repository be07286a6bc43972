import type { Delivery } from '@waybill/core/driver';

/** Its id, how often it was handed out, and what is in it: `meta`, its value, `body`, its value. */
export type Entry = readonly [id: Buffer, deliveries: number, fields: readonly Buffer[]];

export function fromRedisMessage(entry: Entry, lane: string, leaseUntil: number): Delivery & { readonly raw: Entry } {
  const [id, deliveries, [, meta, , body = new Uint8Array()]] = entry;
  const { contentType = 'application/octet-stream', headers = {}, key } = metaOf(String(meta));
  const position = `${lane}@${String(id)}`;
  return {
    contentType,
    headers,
    body,
    ...(key === undefined ? {} : { key }),
    deliveries,
    leaseUntil,
    position,
    raw: entry,
  };
}

/** Others may have written entries with anything in them. */
function metaOf(json: string): Partial<Pick<Delivery, 'contentType' | 'headers' | 'key'>> {
  try {
    return { ...(JSON.parse(json) as object) };
  } catch {
    return {};
  }
}
