import {
  PublishBatchCommand,
  type BatchResultErrorEntry,
  type PublishBatchRequestEntry,
  type PublishBatchResultEntry,
} from '@aws-sdk/client-sns';
import {
  SendMessageBatchCommand,
  type SendMessageBatchRequestEntry,
  type SendMessageBatchResultEntry,
} from '@aws-sdk/client-sqs';
import type { OutgoingMessage } from '@waybill/core/driver';
import type { SqsClients } from './sqs-client.ts';
import type { SqsLookup } from './sqs-lookup.ts';
import { deadEntity, delayEntity, topicEntity, workEntity } from './sqs-names.ts';
import { MAX_DELAY_SECONDS, type Place, type SqsEntry } from './to-sqs-message.ts';

/** A topic, or a queue of one of the three kinds. */
export interface Destination extends Place {
  readonly entity: string;
}

export interface Answer {
  readonly Successful?: readonly (PublishBatchResultEntry | SendMessageBatchResultEntry)[] | undefined;
  readonly Failed?: readonly BatchResultErrorEntry[] | undefined;
}

const PLAIN = { isTopic: false, isFifo: false, isDelay: false } as const;

/** Finds out where a message goes, and puts messages there. */
export class SqsDestinations {
  readonly #clients: SqsClients;
  readonly #lookup: SqsLookup;

  constructor(clients: SqsClients, lookup: SqsLookup) {
    this.#clients = clients;
    this.#lookup = lookup;
  }

  /** Whether the topic or the queue of `message` is FIFO. Rejects with NOT_FOUND when there is none. */
  async isFifo({ target }: OutgoingMessage): Promise<boolean> {
    if ('topic' in target) return this.#lookup.isKeyed(target.topic);
    return (await this.#lookup.entityOf(target.queue)).ordered;
  }

  /** SQS delays at most 15 minutes, and in a FIFO queue no single message: the queue's delay queue does. */
  of({ target, notBefore = 0 }: OutgoingMessage, isFifo: boolean, now: number): Destination {
    if ('topic' in target) return { ...PLAIN, isTopic: true, isFifo, entity: topicEntity(target.topic, isFifo) };
    const queue = { name: target.queue, ordered: isFifo };
    if (target.lane === 'dead') return { ...PLAIN, isFifo, entity: deadEntity(queue) };
    const isLong = notBefore - now > MAX_DELAY_SECONDS * 1_000;
    if (isLong || (isFifo && notBefore > now)) return { ...PLAIN, isDelay: true, entity: delayEntity(queue) };
    return { ...PLAIN, isFifo, entity: workEntity(queue) };
  }

  /** The url or ARN that {@link put} needs. */
  addressOf({ isTopic, entity }: Destination, signal: AbortSignal): Promise<string> {
    return isTopic ? this.#lookup.topicArn(entity, signal) : this.#lookup.queueUrl(entity, signal);
  }

  /** Entries have their places in `entries` as ids. */
  put(destination: Destination, address: string, entries: readonly SqsEntry[], signal: AbortSignal): Promise<Answer> {
    const { sns, sqs } = this.#clients;
    const options = { abortSignal: signal };
    if (!destination.isTopic || sns === undefined) {
      return sqs.send(new SendMessageBatchCommand({ QueueUrl: address, Entries: entries.map(toQueue) }), options);
    }
    const PublishBatchRequestEntries = entries.map(toTopic);
    return sns.send(new PublishBatchCommand({ TopicArn: address, PublishBatchRequestEntries }), options);
  }
}

function toQueue(entry: SqsEntry, index: number): SendMessageBatchRequestEntry {
  return {
    Id: String(index),
    MessageBody: entry.body,
    MessageAttributes: entry.attributes,
    DelaySeconds: entry.delaySeconds,
    MessageGroupId: entry.group,
    MessageDeduplicationId: entry.deduplicationId,
  };
}

function toTopic(entry: SqsEntry, index: number): PublishBatchRequestEntry {
  return {
    Id: String(index),
    Message: entry.body,
    MessageAttributes: entry.attributes,
    MessageGroupId: entry.group,
    MessageDeduplicationId: entry.deduplicationId,
  };
}
