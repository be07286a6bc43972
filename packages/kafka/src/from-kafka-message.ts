import type { Delivery, Headers } from '@waybill/core/driver';
import type { StoredRecord } from './client/port.ts';
import type { Slot } from './kafka-ledger.ts';
import type { KafkaPartition } from './kafka-partition.ts';

const NO_HEADERS: Headers = Object.freeze({});
const EMPTY = Buffer.alloc(0);

/** A record with its place in the ledger of the partition that it came from. */
export class KafkaDelivery implements Delivery {
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly headers: Headers;
  readonly key?: string;
  readonly deliveries: number;
  /** No clock: it is ours until the partition is not. */
  readonly leaseUntil: number = Number.POSITIVE_INFINITY;
  readonly raw: StoredRecord;
  readonly slot: Slot;
  readonly partition: KafkaPartition;

  constructor(record: StoredRecord, slot: Slot, partition: KafkaPartition) {
    const { contentType, headers } = fromHeaders(record.headers);
    this.contentType = contentType;
    this.headers = headers;
    // A tombstone has no value.
    this.body = record.value ?? EMPTY;
    if (record.key !== null) this.key = record.key.toString();
    this.deliveries = slot.before + 1;
    this.raw = record;
    this.slot = slot;
    this.partition = partition;
  }

  get position(): string {
    return `${this.partition.name}@${this.slot.offset}`;
  }
}

function fromHeaders(native: StoredRecord['headers']): { readonly contentType: string; readonly headers: Headers } {
  let contentType = 'application/octet-stream';
  let headers: Record<string, string> | undefined;
  for (const name in native) {
    const value = native[name];
    const first = Array.isArray(value)
      ? (value[0] as Buffer | string | undefined)
      : (value as Buffer | string | undefined);
    if (first === undefined || first === null) continue;
    const lower = name.toLowerCase();
    if (lower === 'content-type') contentType = first.toString();
    else (headers ??= {})[lower] = first.toString();
  }
  return { contentType, headers: headers ?? NO_HEADERS };
}
