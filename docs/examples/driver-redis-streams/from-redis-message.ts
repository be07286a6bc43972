import type { Delivery } from '@waybill/core/driver';
import type { Meta } from './to-redis-message.ts';

/** An entry of a stream: its id, how often it was handed out, names and values. */
export type Entry = readonly [id: Buffer, deliveries: number, fields: readonly Buffer[]];

export interface RedisDelivery extends Delivery {
  readonly raw: { readonly id: string; readonly fields: ReadonlyMap<string, Buffer> };
}

/** Others may have written an entry without `meta` or `body`, or with something else in it. */
export function fromRedisMessage([id, deliveries, values]: Entry, lane: string, leaseUntil: number): RedisDelivery {
  const fields = new Map<string, Buffer>();
  for (let at = 0; at + 1 < values.length; at += 2) fields.set(String(values[at]), values[at + 1] as Buffer);
  const { contentType = 'application/octet-stream', headers = {}, key } = metaOf(fields.get('meta'));
  return {
    contentType,
    headers,
    body: fields.get('body') ?? new Uint8Array(),
    ...(key === undefined ? {} : { key }),
    deliveries,
    leaseUntil,
    position: `${lane}@${String(id)}`,
    raw: { id: String(id), fields },
  };
}

function metaOf(json: Buffer | undefined): Partial<Meta> {
  try {
    const meta: unknown = JSON.parse(String(json));
    return typeof meta === 'object' && meta !== null ? meta : {};
  } catch {
    return {};
  }
}
