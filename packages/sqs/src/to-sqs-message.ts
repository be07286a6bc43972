import { createHash } from 'node:crypto';
import type { Message, MessageAttributeValue, SendMessageBatchRequestEntry } from '@aws-sdk/client-sqs';
import type { Headers, OutgoingMessage } from '@waybill/core/driver';
import { encodeBody, isLegal, packHeaders, SAID } from './sqs-text.ts';

export type Attributes = Record<string, MessageAttributeValue>;

/** A message as both services take it, and its size as they count it. */
export interface SqsEntry {
  readonly body: string;
  readonly attributes: Attributes;
  /** Of the body, and of names, types and values of the attributes. */
  readonly bytes: number;
  /** In FIFO only. */
  readonly group?: string;
  readonly deduplicationId?: string;
  /** Where a message waits only. */
  readonly delaySeconds?: number;
}

/** Of what kind the queue or topic is that a message goes to. */
export interface Place {
  readonly isFifo: boolean;
  /** Of a queue that only delays: what waits there says until when. */
  readonly isDelay: boolean;
  readonly isTopic: boolean;
}

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
const MAX_ATTRIBUTES = 10;
export const MAX_DELAY_SECONDS = 900;
/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html */
const FIFO_NAME = /^[!-~]{1,128}$/;
const ATTRIBUTE_NAME = /^(?!aws\.|amazon\.|\.|.*\.\.|.*\.$)[A-Za-z0-9_.-]{1,256}$/i;
/** Attributes that say something about the message. A header of such a name travels among the packed ones. */
const RESERVED: ReadonlySet<string> = new Set(['type', 'content-type', 'encoding', 'key', 'due', 'headers']);

/** What to send, at `now`. */
export function toSqsEntry(message: OutgoingMessage, place: Place, now: number): SqsEntry {
  const { text, encoding } = encodeBody(message.body);
  // Whoever lists dead letters holds them: of one group, FIFO would then show the first ten only.
  const isDead = 'lane' in message.target && message.target.lane === 'dead';
  const group = place.isFifo ? fifoName((isDead ? undefined : message.key) ?? message.id) : undefined;
  const deduplicationId = place.isFifo ? fifoName(message.id) : undefined;
  const due = place.isDelay ? message.notBefore : undefined;
  const isKeyTold = !place.isTopic && group === message.key && group !== deduplicationId;
  const said: readonly (readonly [string, string | undefined])[] = [
    ['type', message.type],
    ['content-type', message.contentType],
    ['encoding', encoding],
    ['key', isKeyTold ? undefined : message.key],
    ['due', due?.toString()],
  ];
  const attributes = toAttributes(said, message.headers);
  const entry = { body: text, attributes, bytes: Buffer.byteLength(text) + bytesOf(attributes) };
  if (group !== undefined && deduplicationId !== undefined) return { ...entry, group, deduplicationId };
  const delaySeconds = message.notBefore === undefined ? 0 : delayOf(message.notBefore, now);
  return delaySeconds === 0 ? entry : { ...entry, delaySeconds };
}

/** What waits longer than SQS delays is delayed again, as it is. */
export function reDelayedEntry(message: Message, now: number): SendMessageBatchRequestEntry {
  const due = Number(message.MessageAttributes?.['due']?.StringValue ?? now);
  return {
    Id: message.MessageId,
    MessageBody: message.Body,
    MessageAttributes: message.MessageAttributes,
    DelaySeconds: delayOf(due, now),
  };
}

/** Whole seconds, never less than what is left, at most what SQS takes. */
function delayOf(due: number, now: number): number {
  return Math.min(MAX_DELAY_SECONDS, Math.max(0, Math.ceil((due - now) / 1_000)));
}

/** Groups and deduplication ids take only some characters: what does not fit is named by its hash. */
export function fifoName(name: string): string {
  return FIFO_NAME.test(name) ? name : createHash('sha256').update(name).digest('hex');
}

/** One attribute a header while there is room; the rest, and what SQS would refuse, share one. */
function toAttributes(said: readonly (readonly [string, string | undefined])[], headers: Headers): Attributes {
  const attributes: Attributes = {};
  const packed: (readonly [string, string])[] = [];
  let room = MAX_ATTRIBUTES;
  for (const [name, value] of said) {
    if (value === undefined) continue;
    if (value !== '' && isLegal(value)) {
      attributes[name] = { DataType: 'String', StringValue: value };
      room -= 1;
    } else if (name !== 'type') packed.push([`${SAID}${name}`, value]);
  }
  const own: (readonly [string, string])[] = [];
  for (const name in headers) {
    const value = headers[name] as string;
    (canStand(name, value) ? own : packed).push([name, value]);
  }
  const standing = packed.length === 0 && own.length <= room ? own.length : Math.min(own.length, room - 1);
  for (const [name, value] of own.slice(0, standing)) attributes[name] = { DataType: 'String', StringValue: value };
  packed.push(...own.slice(standing));
  if (packed.length > 0) attributes['headers'] = { DataType: 'String', StringValue: packHeaders(packed) };
  return attributes;
}

function canStand(name: string, value: string): boolean {
  return value !== '' && ATTRIBUTE_NAME.test(name) && !RESERVED.has(name.toLowerCase()) && isLegal(value);
}

function bytesOf(attributes: Attributes): number {
  let bytes = 0;
  for (const name in attributes) {
    bytes += name.length + 'String'.length + Buffer.byteLength(attributes[name]?.StringValue ?? '');
  }
  return bytes;
}
