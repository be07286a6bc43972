import { type Message, type SendMessageBatchRequestEntry, SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import { byDeadline, systemClock } from '@waybill/core/driver';
import type { SqsDelivery } from './from-sqs-message.ts';
import { entryError } from './sqs-error.ts';
import { MOST_ENTRIES } from './sqs-lanes.ts';
import { delayEntity, workEntity } from './sqs-names.ts';
import { PollPace } from './sqs-poll-pace.ts';
import { type PollsOptions, SqsPolls } from './sqs-polls.ts';
import { SqsReceiver, waitingOf } from './sqs-receiver.ts';
import type { SqsSettler } from './sqs-settler.ts';
import type { Source } from './sqs-subscription.ts';
import { fifoName, reDelayedEntry } from './to-sqs-message.ts';

type Entry = (message: Message) => Omit<SendMessageBatchRequestEntry, 'Id'>;

/**
 * Reads a delay queue, which no other relay is needed for: what is due is handed out from it, or joins its group where the
 * queue is ordered; what comes early, because SQS delays for 15 minutes at most, is delayed again.
 */
export class SqsDelayRelay {
  readonly #source: Source;
  readonly #settler: SqsSettler;
  readonly #receiver: SqsReceiver;
  readonly #polls: SqsPolls<SqsDelivery>;
  /** What is being moved; the next poll waits for it, and tells its failure. */
  #moving: Promise<void> = Promise.resolve();

  constructor(
    source: Source,
    settler: SqsSettler,
    { onAnswer, onFailure }: Pick<PollsOptions<SqsDelivery>, 'onAnswer' | 'onFailure'>,
  ) {
    const { clients, lookup, queue, settings } = source;
    this.#source = source;
    this.#settler = settler;
    const entity = delayEntity(queue);
    this.#receiver = new SqsReceiver({ clients, lookup, entity, lane: 'work', ...waitingOf(settings, 'work') });
    this.#polls = new SqsPolls({
      poll: (max) => this.#poll(max),
      pace: new PollPace(1),
      onAnswer,
      onFailure,
    });
  }

  /** Rejects with NOT_FOUND when there is no such queue. */
  async open(): Promise<void> {
    await this.#receiver.find();
  }

  /** One poll at a time. */
  ask(room: number): void {
    this.#polls.ask(this.#source.queue.ordered ? MOST_ENTRIES : room, false);
  }

  async close(deadlineMs: number): Promise<void> {
    await this.#polls.close(deadlineMs);
    await byDeadline(deadlineMs, this.#moving);
  }

  async #poll(max: number): Promise<readonly SqsDelivery[]> {
    const moving = this.#moving;
    this.#moving = Promise.resolve();
    await moving;
    const deliveries = await this.#receiver.receive(max);
    if (deliveries.length === 0) return deliveries;
    const now = systemClock.now();
    const early = deliveries.filter(({ due = 0 }) => due > now);
    const due = early.length === 0 ? deliveries : deliveries.filter((delivery) => !early.includes(delivery));
    const { queue } = this.#source;
    this.#moving = this.#moveAll(early, queue.ordered ? due : []);
    this.#moving.catch(() => undefined);
    return queue.ordered ? [] : due;
  }

  async #moveAll(early: readonly SqsDelivery[], ordered: readonly SqsDelivery[]): Promise<void> {
    const { queue } = this.#source;
    await this.#move(early, delayEntity(queue), (message) => reDelayedEntry(message, systemClock.now()));
    // One at a time: entries of one group may fail one by one, and keep their order only so.
    for (const delivery of ordered) await this.#move([delivery], workEntity(queue), orderedEntry);
  }

  /** Copied, then deleted: a crash between the two makes a second copy, and loses none. */
  async #move(deliveries: readonly SqsDelivery[], entity: string, entryOf: Entry): Promise<void> {
    if (deliveries.length === 0) return;
    const { clients, lookup } = this.#source;
    const attempted = `move delayed messages to queue "${entity}"`;
    const QueueUrl = await lookup.queueUrl(entity);
    const Entries = deliveries.map(({ raw }, index) => ({ ...entryOf(raw), Id: String(index) }));
    const { Failed = [] } = await clients.call(attempted, () =>
      clients.sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries })),
    );
    const failed = new Set(Failed.map(({ Id }) => Id));
    const stored = deliveries.filter((_, index) => !failed.has(String(index)));
    const problem = await this.#settler.delete(stored);
    const [first] = Failed;
    if (first !== undefined) throw entryError(first, attempted);
    if (problem !== undefined) throw problem;
  }
}

/** What was delayed joins its group; without a key it is a group of its own. Sent again, it is known by its first id. */
function orderedEntry({ MessageId, Body, MessageAttributes }: Message): Omit<SendMessageBatchRequestEntry, 'Id'> {
  const { due: _, ...attributes } = MessageAttributes ?? {};
  const key = attributes['key']?.StringValue;
  return {
    MessageBody: Body,
    MessageAttributes: attributes,
    MessageGroupId: key === undefined ? MessageId : fifoName(key),
    MessageDeduplicationId: MessageId,
  };
}
