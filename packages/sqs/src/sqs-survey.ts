import { WaybillError } from '@waybill/core/driver';
import type { Attributes } from './sqs-attributes.ts';
import { each } from './sqs-each.ts';
import type { FoundQueue, SqsQueues } from './sqs-queues.ts';
import type { SqsSubscriptions } from './sqs-subscriptions.ts';
import {
  type Entities,
  otherKind,
  type QueueEntity,
  type SubscriptionEntity,
  type TopicEntity,
} from './sqs-topology.ts';

/** What is not in here does not exist. */
export interface Survey {
  readonly queues: Map<string, FoundQueue>;
  /** ARNs. */
  readonly topics: Map<string, string>;
  readonly subscriptions: Map<SubscriptionEntity, FoundSubscription>;
  /** Queues and topics that do not exist, while one of the other kind does. */
  readonly others: Set<string>;
  /** What could not be looked at, and may exist. */
  readonly unknown: Set<TopicEntity | SubscriptionEntity>;
  /** Rights that were missing for a look. */
  readonly denied: WaybillError[];
}

export interface FoundSubscription {
  readonly arn: string;
  /** Undefined without the right to read them. */
  readonly attributes: Attributes | undefined;
}

/** Looks at all of a topology, and changes nothing. */
export class Surveyor {
  readonly #queues: SqsQueues;
  readonly #sns: SqsSubscriptions;
  readonly #entities: Entities;
  readonly #signal: AbortSignal;
  readonly #found: Survey = {
    queues: new Map(),
    topics: new Map(),
    subscriptions: new Map(),
    others: new Set(),
    unknown: new Set(),
    denied: [],
  };

  constructor(
    calls: { readonly queues: SqsQueues; readonly sns: SqsSubscriptions },
    entities: Entities,
    signal: AbortSignal,
  ) {
    this.#queues = calls.queues;
    this.#sns = calls.sns;
    this.#entities = entities;
    this.#signal = signal;
  }

  async run(): Promise<Survey> {
    await each(this.#entities.queues, (queue) => this.#lookAtQueue(queue));
    await each(this.#entities.topics, (topic) => this.#lookAtTopic(topic));
    await each(this.#entities.topics, (topic) => this.#lookAtSubscriptions(topic));
    return this.#found;
  }

  async #lookAtQueue(queue: QueueEntity): Promise<void> {
    const found = await this.#queues.find(queue.entity, this.#signal);
    if (found === undefined) {
      if (queue.isWork) await this.#lookAtOther(queue, (other) => this.#queues.find(other, this.#signal));
      return;
    }
    this.#found.queues.set(queue.entity, found);
    if (found.denied !== undefined) this.#found.denied.push(found.denied);
  }

  async #lookAtTopic(topic: TopicEntity): Promise<void> {
    const arn = await this.#ifAllowed([topic], () => this.#sns.findTopic(topic.entity, this.#signal));
    if (arn !== undefined) this.#found.topics.set(topic.entity, arn);
    else if (!this.#found.unknown.has(topic)) {
      await this.#lookAtOther(topic, (other) => this.#sns.findTopic(other, this.#signal));
    }
  }

  /** Nobody needs rights to what has another name than the own queues and topics. */
  async #lookAtOther(entity: QueueEntity | TopicEntity, find: (other: string) => Promise<unknown>): Promise<void> {
    try {
      if ((await find(otherKind(entity))) !== undefined) this.#found.others.add(entity.entity);
    } catch (error) {
      if (!isDenied(error)) throw error;
    }
  }

  async #lookAtSubscriptions(topic: TopicEntity): Promise<void> {
    const arn = this.#found.topics.get(topic.entity);
    const wanted = this.#entities.subscriptions.filter((subscription) => subscription.topic === topic.entity);
    if (wanted.length === 0) return;
    if (arn === undefined) {
      if (this.#found.unknown.has(topic)) for (const subscription of wanted) this.#found.unknown.add(subscription);
      return;
    }
    await this.#ifAllowed(wanted, async () => {
      const listed = await this.#sns.ofTopic(arn, this.#signal);
      for (const subscription of wanted) {
        const found = listed.get(queueArnBeside(arn, subscription.queue));
        if (found !== undefined) this.#found.subscriptions.set(subscription, await this.#read(found));
      }
    });
  }

  async #read(arn: string): Promise<FoundSubscription> {
    try {
      return { arn, attributes: await this.#sns.read(arn, this.#signal) };
    } catch (error) {
      this.#deny(error);
      return { arn, attributes: undefined };
    }
  }

  async #ifAllowed<T>(
    about: readonly (TopicEntity | SubscriptionEntity)[],
    look: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await look();
    } catch (error) {
      this.#deny(error);
      for (const entity of about) this.#found.unknown.add(entity);
      return undefined;
    }
  }

  #deny(error: unknown): void {
    if (!isDenied(error)) throw error;
    this.#found.denied.push(error);
  }
}

function isDenied(error: unknown): error is WaybillError {
  return WaybillError.is(error) && error.code === 'PERMISSION_DENIED';
}

/** The ARN of a queue in the account and region of a topic, where all of Waybill's are. */
export function queueArnBeside(topicArn: string, queue: string): string {
  const [arn, partition, , region, account] = topicArn.split(':');
  return [arn, partition, 'sqs', region, account, queue].join(':');
}
