import { type Queue, type Topic, type Topology, WaybillError } from '@waybill/core/driver';
import { deadEntity, delayEntity, topicEntity, workEntity } from './sqs-names.ts';

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html */
const LONGEST_QUEUE = 80;
/** https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html */
const LONGEST_TOPIC = 256;
/** Values of one filter policy: https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html */
const MOST_TYPES = 150;

export interface QueueEntity {
  readonly entity: string;
  readonly fifo: boolean;
  readonly isWork: boolean;
  /** Where SQS itself moves what was received too often. */
  readonly dead?: string;
}

export interface TopicEntity {
  readonly entity: string;
  readonly fifo: boolean;
}

export interface SubscriptionEntity {
  readonly topic: string;
  readonly queue: string;
  readonly types: readonly string[];
  /** Where SNS moves what it cannot deliver. Absent: AWS wants a queue of the topic's kind for it. */
  readonly dead?: string;
}

export interface Entities {
  readonly topics: readonly TopicEntity[];
  /** A queue after its dead queue. */
  readonly queues: readonly QueueEntity[];
  readonly subscriptions: readonly SubscriptionEntity[];
}

/** All that a topology is on SQS and SNS. Throws INVALID_ARGUMENT for what they cannot take. */
export function entitiesOf({ topics, queues }: Topology): Entities {
  const bound = queues.flatMap(({ bindings }) => bindings.map(({ topic }) => topic));
  const topicEntities = new Map([...topics, ...bound].map((topic) => [topic.name, asEntity(topic)]));
  return {
    topics: [...topicEntities.values()],
    queues: queues.flatMap(queueEntities),
    subscriptions: queues.flatMap(subscriptionsOf),
  };
}

/** The name that it would have if it were of the other kind: two queues that must not exist side by side. */
export function otherKind({ entity, fifo }: TopicEntity | QueueEntity): string {
  return fifo ? entity.slice(0, -'.fifo'.length) : `${entity}.fifo`;
}

/** The work queue, its dead queue and its delay queue. */
function queueEntities(queue: Queue): readonly QueueEntity[] {
  const dead = deadEntity(queue);
  const delay = delayEntity(queue);
  const fifo = queue.ordered;
  const entities: readonly QueueEntity[] = [
    { entity: dead, fifo, isWork: false },
    { entity: workEntity(queue), fifo, isWork: true, dead },
    // A standard queue cannot have a FIFO queue for its dead letters.
    { entity: delay, fifo: false, isWork: false, ...(fifo ? {} : { dead }) },
  ];
  for (const { entity } of entities) checkLength('queue', queue.name, { entity, longest: LONGEST_QUEUE });
  return entities;
}

function asEntity({ name, keyed }: Topic): TopicEntity {
  const entity = topicEntity(name, keyed);
  checkLength('topic', name, { entity, longest: LONGEST_TOPIC });
  return { entity, fifo: keyed };
}

function subscriptionsOf(queue: Queue): readonly SubscriptionEntity[] {
  const byTopic = new Map<string, { readonly topic: Topic; readonly types: Set<string> }>();
  for (const { topic, types } of queue.bindings) {
    const known = byTopic.get(topic.name) ?? { topic, types: new Set() };
    for (const type of types) known.types.add(type);
    byTopic.set(topic.name, known);
  }
  return [...byTopic.values()].map(({ topic, types }) => {
    if (types.size > MOST_TYPES) {
      const problem = `Queue "${queue.name}" is bound to ${types.size} types of topic "${topic.name}"`;
      throw new WaybillError('INVALID_ARGUMENT', `${problem}, and a filter policy of SNS takes ${MOST_TYPES}.`);
    }
    const subscription = {
      topic: topicEntity(topic.name, topic.keyed),
      queue: workEntity(queue),
      types: [...types].toSorted(),
    };
    return topic.keyed === queue.ordered ? { ...subscription, dead: deadEntity(queue) } : subscription;
  });
}

function checkLength(
  kind: 'queue' | 'topic',
  name: string,
  { entity, longest }: { readonly entity: string; readonly longest: number },
): void {
  if (entity.length <= longest) return;
  const problem = `The ${kind} "${name}" needs the name "${entity}" of ${entity.length} characters, and AWS takes`;
  throw new WaybillError('INVALID_ARGUMENT', `${problem} ${longest}. Shorten the name or the prefix.`);
}
