import {
  CreateTopicCommand,
  GetSubscriptionAttributesCommand,
  GetTopicAttributesCommand,
  ListSubscriptionsByTopicCommand,
  type ListSubscriptionsByTopicCommandInput,
  SetSubscriptionAttributesCommand,
  type SNSClient,
  SubscribeCommand,
} from '@aws-sdk/client-sns';
import { WaybillError } from '@waybill/core/driver';
import type { Attributes } from './sqs-attributes.ts';
import type { SqsClients } from './sqs-client.ts';
import type { SqsLookup } from './sqs-lookup.ts';
import { writeTypes } from './sqs-policy.ts';
import type { TopicEntity } from './sqs-topology.ts';

/** Each message has an id of its own; deduplication within a key is what AWS calls high throughput. */
const FIFO = { FifoTopic: 'true', ContentBasedDeduplication: 'false', FifoThroughputScope: 'MessageGroup' };

export interface NewSubscription {
  readonly topicArn: string;
  readonly queueArn: string;
  readonly attributes: Record<string, string>;
}

/** SNS: topics, and the subscriptions of queues to them, as they are now. */
export class SqsSubscriptions {
  readonly #clients: SqsClients;
  readonly #lookup: SqsLookup;

  constructor(clients: SqsClients, lookup: SqsLookup) {
    this.#clients = clients;
    this.#lookup = lookup;
  }

  /** Resolves with the ARN, or undefined when it does not exist. */
  async findTopic(entity: string, signal: AbortSignal): Promise<string | undefined> {
    this.#lookup.forget(entity);
    try {
      const TopicArn = await this.#lookup.topicArn(entity, signal);
      await this.#call(`read the settings of topic "${entity}"`, (sns) =>
        sns.send(new GetTopicAttributesCommand({ TopicArn }), { abortSignal: signal }),
      );
      return TopicArn;
    } catch (error) {
      if (!WaybillError.is(error) || error.code !== 'NOT_FOUND') throw error;
      this.#lookup.forget(entity);
      return undefined;
    }
  }

  /** Resolves with its ARN; the same for all who create it at the same time. */
  async createTopic({ entity, fifo }: TopicEntity, signal: AbortSignal): Promise<string> {
    const attributes = fifo ? { Attributes: FIFO } : {};
    const { TopicArn } = await this.#call(`create topic "${entity}"`, (sns) =>
      sns.send(new CreateTopicCommand({ Name: entity, ...attributes }), { abortSignal: signal }),
    );
    if (TopicArn === undefined) throw new WaybillError('UNKNOWN', `Creating topic "${entity}" gave no ARN.`);
    this.#lookup.learnTopic(entity, TopicArn);
    return TopicArn;
  }

  /** The subscriptions of SQS queues: ARN of the subscription by ARN of the queue. */
  async ofTopic(TopicArn: string, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    const input: ListSubscriptionsByTopicCommandInput = { TopicArn };
    do {
      const page = await this.#call(`list the subscriptions of ${TopicArn}`, (sns) =>
        sns.send(new ListSubscriptionsByTopicCommand(input), { abortSignal: signal }),
      );
      for (const { Protocol, Endpoint, SubscriptionArn } of page.Subscriptions ?? []) {
        if (Protocol === 'sqs' && Endpoint !== undefined && SubscriptionArn !== undefined) {
          found.set(Endpoint, SubscriptionArn);
        }
      }
      input.NextToken = page.NextToken;
    } while (input.NextToken !== undefined && input.NextToken !== '');
    return found;
  }

  async read(SubscriptionArn: string, signal: AbortSignal): Promise<Attributes> {
    const { Attributes: attributes } = await this.#call(`read the subscription ${SubscriptionArn}`, (sns) =>
      sns.send(new GetSubscriptionAttributesCommand({ SubscriptionArn }), { abortSignal: signal }),
    );
    return attributes ?? {};
  }

  /** Resolves with whether this call made it: another process may have been quicker, with other types. */
  async subscribe({ topicArn, queueArn, attributes }: NewSubscription, signal: AbortSignal): Promise<boolean> {
    const command = new SubscribeCommand({
      TopicArn: topicArn,
      Protocol: 'sqs',
      Endpoint: queueArn,
      Attributes: attributes,
    });
    return await this.#call(`subscribe ${queueArn} to ${topicArn}`, async (sns) => {
      try {
        await sns.send(command, { abortSignal: signal });
        return true;
      } catch (error) {
        if (error instanceof Error && /already exists/i.test(error.message)) return false;
        throw error;
      }
    });
  }

  async setTypes(SubscriptionArn: string, types: readonly string[], signal: AbortSignal): Promise<void> {
    const command = new SetSubscriptionAttributesCommand({
      SubscriptionArn,
      AttributeName: 'FilterPolicy',
      AttributeValue: writeTypes(types),
    });
    await this.#call(`set the types of the subscription ${SubscriptionArn}`, (sns) =>
      sns.send(command, { abortSignal: signal }),
    );
  }

  async #call<T>(attempted: string, run: (sns: SNSClient) => Promise<T>): Promise<T> {
    const { sns } = this.#clients;
    if (sns === undefined) throw new WaybillError('UNSUPPORTED', 'Topics need sqs() without the option topics: false.');
    return await this.#clients.call(attempted, () => run(sns));
  }
}
