import { pause, systemClock, WaybillError } from '@waybill/core/driver';
import {
  missingTypes,
  queueAttributes,
  queueDifferences,
  subscriptionAttributes,
  subscriptionDifferences,
} from './sqs-attributes.ts';
import { deadArnOf, differences, wantedOf } from './sqs-differences.ts';
import { each } from './sqs-each.ts';
import { missingSenders, readTypes, withSenders } from './sqs-policy.ts';
import type { SqsQueues } from './sqs-queues.ts';
import type { SqsSubscriptions } from './sqs-subscriptions.ts';
import { type FoundSubscription, queueArnBeside, type Survey } from './sqs-survey.ts';
import type { Entities, QueueEntity, SubscriptionEntity, TopicEntity } from './sqs-topology.ts';

/** Longer than another process takes between its look and its write. */
const CROSSING_MS = 500;
const CROSSINGS = 10;

/** Creates what a survey did not find, and adds to what others made. */
export class SqsProvision {
  readonly #queues: SqsQueues;
  readonly #sns: SqsSubscriptions;
  readonly #entities: Entities;
  readonly #survey: Survey;
  readonly #maxMessageBytes: number;
  readonly #signal: AbortSignal;
  readonly #said: string[] = [];

  constructor(
    calls: { readonly queues: SqsQueues; readonly sns: SqsSubscriptions },
    entities: Entities,
    survey: Survey,
    { maxMessageBytes, signal }: { readonly maxMessageBytes: number; readonly signal: AbortSignal },
  ) {
    this.#queues = calls.queues;
    this.#sns = calls.sns;
    this.#entities = entities;
    this.#survey = survey;
    this.#maxMessageBytes = maxMessageBytes;
    this.#signal = signal;
  }

  /** Resolves with one sentence for each thing made. */
  async run(): Promise<readonly string[]> {
    const { topics, queues, subscriptions } = this.#entities;
    refuse(differences(this.#entities, this.#survey, this.#maxMessageBytes));
    await each(topics, (topic) => this.#topic(topic));
    await each(
      queues.filter(({ dead }) => dead === undefined),
      (queue) => this.#queue(queue),
    );
    await each(
      queues.filter(({ dead }) => dead !== undefined),
      (queue) => this.#queue(queue),
    );
    await each(queues, (queue) => this.#policy(queue));
    await each(subscriptions, (subscription) => this.#subscription(subscription));
    return this.#said;
  }

  async #topic(topic: TopicEntity): Promise<void> {
    if (this.#survey.topics.has(topic.entity)) return;
    this.#survey.topics.set(topic.entity, await this.#sns.createTopic(topic, this.#signal));
    this.#said.push(`Created topic "${topic.entity}".`);
  }

  async #queue(queue: QueueEntity): Promise<void> {
    const { entity } = queue;
    if (this.#survey.queues.has(entity)) return;
    const wanted = wantedOf(queue, this.#survey, this.#maxMessageBytes);
    const [topic] = this.#sendersTo(entity);
    const policy =
      topic === undefined
        ? {}
        : {
            Policy: withSenders(undefined, {
              queueArn: queueArnBeside(topic, entity),
              topics: this.#sendersTo(entity),
            }),
          };
    const attributes = { ...queueAttributes(queue, wanted), ...policy };
    const { found, made } = await this.#queues.create(entity, attributes, this.#signal);
    if (found.attributes === undefined) throw found.denied;
    refuse(queueDifferences(queue, found.attributes, wanted));
    this.#survey.queues.set(entity, found);
    if (made) this.#said.push(`Created queue "${entity}".`);
  }

  /** ARNs of the topics that SNS brings messages from, or what it could not deliver. */
  #sendersTo(entity: string): readonly string[] {
    const from = this.#entities.subscriptions.filter(({ queue, dead }) => queue === entity || dead === entity);
    return from.flatMap(({ topic }) => this.#survey.topics.get(topic) ?? []);
  }

  async #policy({ entity }: QueueEntity): Promise<void> {
    const senders = this.#sendersTo(entity);
    const before = this.#survey.queues.get(entity);
    const [sender] = senders;
    if (before === undefined || sender === undefined) return;
    const added = await this.#untilThere({
      look: async (isFirst) => {
        const found = isFirst ? before : await this.#queues.find(entity, this.#signal);
        return missingSenders(found?.attributes?.['Policy'], senders);
      },
      add: async () => {
        const found = (await this.#queues.find(entity, this.#signal)) ?? before;
        const queueArn = queueArnBeside(sender, entity);
        const policy = withSenders(found.attributes?.['Policy'], { queueArn, topics: senders });
        await this.#queues.setPolicy(entity, found, policy, this.#signal);
      },
    });
    for (const topic of added) this.#said.push(`Allowed ${topic} to send to queue "${entity}".`);
  }

  async #subscription(subscription: SubscriptionEntity): Promise<void> {
    const found = this.#survey.subscriptions.get(subscription) ?? (await this.#subscribe(subscription));
    if (found === undefined) return;
    const { arn, attributes } = found;
    const added = await this.#untilThere({
      look: async (isFirst) =>
        missingTypes(subscription, isFirst ? (attributes ?? {}) : await this.#sns.read(arn, this.#signal)),
      add: async () => {
        const now = await this.#sns.read(arn, this.#signal);
        const types = [...(readTypes(now['FilterPolicy']) ?? []), ...subscription.types];
        await this.#sns.setTypes(arn, types, this.#signal);
      },
    });
    this.#said.push(...bound(subscription, added));
  }

  /** Resolves with what another process made in the meantime, perhaps for fewer types. */
  async #subscribe(subscription: SubscriptionEntity): Promise<FoundSubscription | undefined> {
    const { topic, queue, types } = subscription;
    const topicArn = this.#survey.topics.get(topic) as string;
    const queueArn = queueArnBeside(topicArn, queue);
    const deadArn = deadArnOf(subscription, topicArn);
    const attributes = subscriptionAttributes(types, deadArn);
    if (await this.#sns.subscribe({ topicArn, queueArn, attributes }, this.#signal)) {
      this.#said.push(`Subscribed queue "${queue}" to topic "${topic}".`, ...bound(subscription, types));
      return undefined;
    }
    const arn = (await this.#sns.ofTopic(topicArn, this.#signal)).get(queueArn);
    if (arn === undefined) {
      throw new WaybillError(
        'UNAVAILABLE',
        `Topic "${topic}" has a subscription of queue "${queue}" that is not listed yet.`,
      );
    }
    const found = { arn, attributes: await this.#sns.read(arn, this.#signal) };
    refuse(subscriptionDifferences(subscription, found.attributes, deadArn));
    return found;
  }

  /**
   * Adds what is missing to what several processes may add to at the same time, and looks again after a while: AWS only
   * replaces such a list as a whole, and another process may have written what it read before. Resolves with what was
   * missing at first.
   */
  async #untilThere(list: {
    readonly look: (isFirst: boolean) => Promise<readonly string[]>;
    readonly add: () => Promise<void>;
  }): Promise<readonly string[]> {
    const added = await list.look(true);
    let missing = added;
    for (let round = 0; missing.length > 0 && round < CROSSINGS; round += 1) {
      this.#signal.throwIfAborted();
      await list.add();
      await pause(systemClock, CROSSING_MS, this.#signal);
      missing = await list.look(false);
    }
    return added;
  }
}

function bound({ queue, topic }: SubscriptionEntity, types: readonly string[]): readonly string[] {
  return types.map((type) => `Bound queue "${queue}" to "${type}" of topic "${topic}".`);
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new WaybillError('CONFLICT', problems.join(' '));
}
