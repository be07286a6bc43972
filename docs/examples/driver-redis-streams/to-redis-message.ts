import { type OutgoingMessage, systemClock } from '@waybill/core/driver';
import { laneName } from './redis-keys.ts';

/** What an entry holds beside the body. */
export interface Meta {
  readonly id: string;
  readonly type: string;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly key?: string;
}

/** The six values that the script takes for a message. */
export function toRedisMessage(message: OutgoingMessage): readonly (string | number | Uint8Array)[] {
  const { target, id, type, contentType, headers, key, notBefore, body } = message;
  const place = 'topic' in target ? ['topic', target.topic] : ['queue', laneName(target.queue, target.lane)];
  const meta: Meta = { id, type, contentType, headers, ...(key === undefined ? {} : { key }) };
  const delay = notBefore === undefined ? '' : Math.max(Math.ceil(notBefore - systemClock.now()), 0);
  return [...place, type, delay, JSON.stringify(meta), body];
}

/** Body and headers, as they count against `maxMessageBytes`. */
export function messageBytes({ body, headers }: OutgoingMessage): number {
  return Object.entries(headers).reduce((sum, pair) => sum + Buffer.byteLength(pair.join('')), body.byteLength);
}
