import { randomBytes, randomUUID } from 'node:crypto';

import { type Content, encode, types } from './amqp.ts';

export type EntryState = 'active' | 'locked' | 'deferred' | 'scheduled';

/** Who holds a message, until when in milliseconds, and what it becomes when it is let go. */
export interface Lock {
  /** In the order of RFC 4122. */
  readonly token: Buffer;
  until: number;
  readonly returnsTo: 'active' | 'deferred';
}

/** A message in one mailbox. */
export interface Entry {
  sequence: number;
  /** The number it had before it became active, or before it was moved. */
  readonly firstSequence?: number;
  content: Content;
  state: EntryState;
  /** Deliveries that failed. */
  deliveryCount: number;
  enqueuedAt: number;
  /** Infinity for never. */
  expiresAt: number;
  readonly sessionId: string | undefined;
  /** Of a scheduled one. */
  readonly scheduledAt?: number;
  lock?: Lock;
}

const tokenPrefix = randomBytes(8);
let tokens = 0n;

export function newToken(): Buffer {
  const token = Buffer.alloc(16);
  tokenPrefix.copy(token);
  tokens += 1n;
  token.writeBigUInt64BE(tokens, 8);
  return token;
}

/** The bytes of a GUID as a delivery tag orders them, and back. */
const tagOrder = [3, 2, 1, 0, 5, 4, 7, 6] as const;

export function reorder(token: Buffer): Buffer {
  return Buffer.concat([Buffer.from(tagOrder.map((index) => token[index] ?? 0)), token.subarray(8)]);
}

/** What is kept of a message that was sent. The service gives one without an id its own. */
export function received(content: Content): Content {
  const { delivery_annotations: _, ...kept } = content;
  return kept.message_id === undefined ? { ...kept, message_id: randomUUID().replaceAll('-', '') } : kept;
}

/** When the sender wants it enqueued, in milliseconds; undefined for now. */
export function scheduledTime({ message_annotations: annotations }: Content): number | undefined {
  const at = annotations?.['x-opt-scheduled-enqueue-time'];
  if (at instanceof Date) {
    return at.getTime();
  }
  return typeof at === 'number' ? at : undefined;
}

const stateNumbers = { active: undefined, locked: undefined, deferred: 1, scheduled: 2 };

/** The bytes of a message as a receiver or a peek gets them. */
export function encodeEntry(entry: Entry): Buffer {
  const { content, lock } = entry;
  const state = stateNumbers[entry.state === 'locked' ? (lock?.returnsTo ?? 'active') : entry.state];
  const annotations: Record<string, unknown> = {
    ...content.message_annotations,
    'x-opt-sequence-number': types.wrap_long(entry.sequence),
    'x-opt-enqueued-time': types.wrap_timestamp(entry.enqueuedAt),
    'x-opt-enqueue-sequence-number': types.wrap_long(entry.firstSequence ?? entry.sequence),
    'x-opt-message-state': types.wrap_int(state ?? 0),
  };
  if (lock !== undefined) {
    annotations['x-opt-locked-until'] = types.wrap_timestamp(lock.until);
  }
  return encode({ ...content, delivery_count: entry.deliveryCount, message_annotations: annotations });
}
