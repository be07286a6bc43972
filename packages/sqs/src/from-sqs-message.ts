import type { Message } from '@aws-sdk/client-sqs';
import type { Delivery, Headers, Lane } from '@waybill/core/driver';
import { decodeBody, SAID, unpackHeaders } from './sqs-text.ts';

const NO_HEADERS: Headers = Object.freeze({});
/** Set by the core on each dead letter that it writes. */
const BOOKKEEPING_HEADER = 'waybill';

/** Where a message was received, for which lane, and until when it is ours. */
export interface Origin {
  readonly url: string;
  readonly lane: Lane;
  readonly leaseUntil: number;
}

interface Read {
  contentType: string;
  encoding: 'base64' | 'empty' | undefined;
  key: string | undefined;
  due: number | undefined;
  headers: Record<string, string> | undefined;
}

/** A received message. Its receipt handle settles it where it was received: in a delay queue, too. */
export class SqsDelivery implements Delivery {
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly headers: Headers;
  readonly key?: string;
  readonly deliveries: number;
  leaseUntil: number;
  readonly brokerReason?: string;
  readonly raw: Message;
  readonly url: string;
  readonly receiptHandle: string;
  /** Of a message from a FIFO queue. */
  readonly group?: string;
  /** Of a message from a delay queue: the epoch ms before which it is handed to nobody. */
  readonly due?: number;

  constructor(message: Message, { url, lane, leaseUntil }: Origin) {
    const read = readAttributes(message);
    const { MessageGroupId: group, ApproximateReceiveCount: count } = message.Attributes ?? {};
    this.contentType = read.contentType;
    this.body = decodeBody(message.Body ?? '', read.encoding);
    this.headers = read.headers ?? NO_HEADERS;
    const key = read.key ?? keyOf(message);
    if (key !== undefined) this.key = key;
    this.deliveries = Number(count ?? 1);
    this.leaseUntil = leaseUntil;
    const reason = lane === 'dead' ? reasonOf(message, this.headers) : undefined;
    if (reason !== undefined) this.brokerReason = reason;
    this.raw = message;
    this.url = url;
    this.receiptHandle = message.ReceiptHandle ?? '';
    if (group !== undefined) this.group = group;
    if (read.due !== undefined) this.due = read.due;
  }

  get position(): string {
    return this.raw.MessageId ?? this.receiptHandle;
  }
}

function readAttributes({ MessageAttributes: native }: Message): Read {
  const read: Read = {
    contentType: 'application/octet-stream',
    encoding: undefined,
    key: undefined,
    due: undefined,
    headers: undefined,
  };
  for (const name in native) {
    const value = native[name]?.StringValue;
    if (value !== undefined) readAttribute(read, name.toLowerCase(), value);
  }
  return read;
}

function readAttribute(read: Read, name: string, value: string): void {
  if (name === 'type') return;
  if (name === 'encoding' && (value === 'base64' || value === 'empty')) read.encoding = value;
  else if (name === 'content-type') read.contentType = value;
  else if (name === 'key') read.key = value;
  else if (name === 'due' && /^\d+$/.test(value)) read.due = Number(value);
  else if (name === 'headers') readPacked(read, value);
  else (read.headers ??= {})[name] = value;
}

function readPacked(read: Read, packed: string): void {
  for (const [name, value] of unpackHeaders(packed)) {
    if (name.startsWith(SAID)) readAttribute(read, name.slice(SAID.length), value);
    else (read.headers ??= {})[name] = value;
  }
}

/** A message without a key is a group of its own, named by what it is deduplicated by. */
function keyOf({
  Attributes: { MessageGroupId: group, MessageDeduplicationId: id } = {},
}: Message): string | undefined {
  return group === id ? undefined : group;
}

/** The redrive policy moves a message that was received too often; a subscription's policy what SNS could not deliver. */
function reasonOf({ Attributes = {} }: Message, headers: Headers): string | undefined {
  if (Attributes.DeadLetterQueueSourceArn !== undefined) return 'received more than 100 times';
  return headers[BOOKKEEPING_HEADER] === undefined ? 'could not be delivered by SNS' : undefined;
}
