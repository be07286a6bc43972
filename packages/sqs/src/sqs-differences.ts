import { missingTypes, queueDifferences, subscriptionDifferences, type Wanted } from './sqs-attributes.ts';
import { spoken } from './sqs-names.ts';
import { missingSenders } from './sqs-policy.ts';
import { queueArnBeside, type Survey } from './sqs-survey.ts';
import { type Entities, otherKind, type QueueEntity, type SubscriptionEntity } from './sqs-topology.ts';

/** One sentence for each thing that exists and must be otherwise. */
export function differences(entities: Entities, survey: Survey, maxMessageBytes: number): readonly string[] {
  const kinds = [
    ...entities.queues.map((queue) => ({ what: 'Queue', ...queue })),
    ...entities.topics.map((topic) => ({ what: 'Topic', ...topic })),
  ].filter(({ entity }) => survey.others.has(entity));
  const other = kinds.map(
    ({ what, ...entity }) =>
      `${what} "${otherKind(entity)}" exists, and the contracts need "${entity.entity}": ${entity.fifo ? 'FIFO, for messages with keys' : 'a standard one, for messages without keys'}.`,
  );
  const queues = entities.queues.flatMap((queue) => {
    const found = survey.queues.get(queue.entity)?.attributes;
    return found === undefined ? [] : queueDifferences(queue, found, wantedOf(queue, survey, maxMessageBytes));
  });
  const subscriptions = entities.subscriptions.flatMap((subscription) => {
    const found = survey.subscriptions.get(subscription)?.attributes;
    const topicArn = survey.topics.get(subscription.topic);
    if (found === undefined || topicArn === undefined) return [];
    return subscriptionDifferences(subscription, found, deadArnOf(subscription, topicArn));
  });
  return [...other, ...queues, ...subscriptions];
}

/** One sentence for each thing that is not there. */
export function lacks({ queues, topics, subscriptions }: Entities, survey: Survey): readonly string[] {
  const queuesMissing = queues.filter(({ entity }) => !survey.queues.has(entity) && !survey.others.has(entity));
  const topicsMissing = topics.filter(
    (topic) => !survey.topics.has(topic.entity) && !survey.others.has(topic.entity) && !survey.unknown.has(topic),
  );
  return [
    ...topicsMissing.map(({ entity }) => `Topic ${spoken(entity)} does not exist.`),
    ...queuesMissing.map(({ entity }) => `Queue ${spoken(entity)} does not exist.`),
    ...subscriptions.flatMap((subscription) => unbound(subscription, survey)),
  ];
}

function unbound(subscription: SubscriptionEntity, survey: Survey): readonly string[] {
  const { topic, queue, types, dead } = subscription;
  const found = survey.subscriptions.get(subscription);
  if (survey.unknown.has(subscription)) return [];
  const topicArn = survey.topics.get(topic);
  // What may not be read counts as bound.
  const missing = found === undefined ? types : found.attributes && missingTypes(subscription, found.attributes);
  const sentences = (missing ?? []).map(
    (type) => `Queue ${spoken(queue)} is not bound to "${type}" of topic ${spoken(topic)}.`,
  );
  if (topicArn === undefined) return sentences;
  const closed = [queue, ...(dead === undefined ? [] : [dead])].filter((entity) => {
    const attributes = survey.queues.get(entity)?.attributes;
    return attributes !== undefined && missingSenders(attributes['Policy'], [topicArn]).length > 0;
  });
  return [
    ...sentences,
    ...closed.map((entity) => `The policy of queue "${entity}" does not let topic "${topic}" send to it.`),
  ];
}

/** What a queue is made with and compared to. */
export function wantedOf({ dead }: QueueEntity, survey: Survey, maxMessageBytes: number): Wanted {
  const deadArn = dead === undefined ? undefined : survey.queues.get(dead)?.attributes?.['QueueArn'];
  return { deadArn, maxMessageBytes };
}

/** Where SNS moves what it cannot deliver. */
export function deadArnOf({ dead }: SubscriptionEntity, topicArn: string): string | undefined {
  return dead === undefined ? undefined : queueArnBeside(topicArn, dead);
}
