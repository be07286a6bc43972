import { deadName, type OutgoingMessage } from '@waybill/core/driver';
import type { OutgoingRecord } from './client/port.ts';
import { delayTopicOf, ownTopic } from './kafka-delays.ts';

/** A topic of events, a queue's own topic, one of its delay topics, or its dead topic. */
export function toKafkaMessage(message: OutgoingMessage, now: number): OutgoingRecord {
  const { target, body, contentType, headers, key = null } = message;
  const value = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const record = { key, value, headers: toHeaders(contentType, headers) };
  if ('topic' in target) return { ...record, topic: target.topic };
  if (target.lane === 'dead') return { ...record, topic: deadName(target.queue) };
  const { notBefore = 0 } = message;
  if (notBefore <= now) return { ...record, topic: ownTopic(target.queue) };
  // When it is due travels as its time.
  return { ...record, topic: delayTopicOf(target.queue, notBefore - now), timestamp: notBefore };
}

/** The CloudEvents binding for Kafka: `content-type`, and attributes as `ce_…`. */
function toHeaders(contentType: string, headers: OutgoingMessage['headers']): Record<string, string> {
  const written: Record<string, string> = { 'content-type': contentType };
  const isBinary = headers['ce-specversion'] !== undefined;
  for (const name in headers) {
    written[isBinary && name.startsWith('ce-') ? `ce_${name.slice(3)}` : name] = headers[name] as string;
  }
  return written;
}
