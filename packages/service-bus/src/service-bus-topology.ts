import { createHash } from 'node:crypto';
import { deadName, type Lane, type Queue, type Topology, WaybillError } from '@waybill/core/driver';

/** The broker's limit of a rule's name. */
const LONGEST_RULE = 50;

export interface QueueEntity {
  readonly kind: 'queue';
  readonly name: string;
  readonly requiresSession: boolean;
}

export interface TopicEntity {
  readonly kind: 'topic';
  readonly name: string;
}

/** Takes what its rules let through, and forwards it to the queue of its name. */
export interface SubscriptionEntity {
  readonly kind: 'subscription';
  readonly topic: string;
  readonly name: string;
  readonly types: readonly string[];
}

export type Entity = QueueEntity | TopicEntity | SubscriptionEntity;

/**
 * All that a topology is on the broker, each behind what it needs. Throws INVALID_ARGUMENT for a queue and a topic of one
 * name: there they would be one entity.
 */
export function entitiesOf({ topics, queues }: Topology): readonly Entity[] {
  const names = new Set([
    ...topics.map(({ name }) => name),
    ...queues.flatMap(({ bindings }) => bindings.map(({ topic }) => topic.name)),
  ]);
  const topicNames = new Set([...names].map((name) => name.toLowerCase()));
  const both = queues.find(({ name }) => topicNames.has(name.toLowerCase()));
  if (both !== undefined) {
    throw new WaybillError(
      'INVALID_ARGUMENT',
      `Service Bus cannot have a queue and a topic of the same name, "${both.name}". Give one of them another name.`,
    );
  }
  return [
    ...queues.map(({ name, ordered }): QueueEntity => ({ kind: 'queue', name, requiresSession: ordered })),
    ...[...names].map((name): TopicEntity => ({ kind: 'topic', name })),
    ...queues.flatMap(({ name, bindings }) =>
      bindings.map(({ topic, types }): SubscriptionEntity => ({
        kind: 'subscription',
        topic: topic.name,
        name,
        types,
      })),
    ),
  ];
}

/** As people and errors call it. */
export function nameOf(entity: Entity): string {
  return entity.kind === 'subscription' ? `${entity.topic}/${entity.name}` : entity.name;
}

export function subscriptionPath(topic: string, name: string): string {
  return `${topic}/Subscriptions/${name}`;
}

/** Where the broker puts the dead letters of a queue, or of a subscription's path. */
export function deadPath(path: string): string {
  return `${path}/$DeadLetterQueue`;
}

/** A place to read from, and its name in positions. */
export interface Place {
  readonly path: string;
  readonly name: string;
}

/**
 * Where a lane's messages wait. What a subscription could not forward it dead-letters itself, so a dead lane has a place
 * for each binding.
 */
export function placesOf({ name, bindings }: Queue, lane: Lane): readonly Place[] {
  if (lane === 'work') return [{ path: name, name }];
  const dead = deadName(name);
  return [
    { path: deadPath(name), name: dead },
    ...bindings.map(({ topic }, index) => ({
      path: deadPath(subscriptionPath(topic.name, name)),
      name: `${dead}.${index + 1}`,
    })),
  ];
}

/** One rule a type, by its name or, where that is too long or has other characters, by a digest behind it. */
export function ruleName(type: string): string {
  if (type.length <= LONGEST_RULE && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(type)) return type;
  const digest = createHash('sha256').update(type).digest('hex').slice(0, 12);
  return `${type.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, LONGEST_RULE - 13)}-${digest}`;
}
