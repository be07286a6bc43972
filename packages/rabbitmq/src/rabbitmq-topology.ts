import { deadName, type Queue, type Topology } from '@waybill/core/driver';
import { DUE, duePattern, LEVELS, levelName, levelPattern, STEP_MS, UNDELIVERED } from './rabbitmq-ladder.ts';
import { trialName } from './rabbitmq-trial.ts';

/** Backstop; the core decides long before. */
export const DELIVERY_LIMIT = 100;
/**
 * For queues that nothing may be dropped from, however often it is listed. Not -1: 4.0 would put what is given back at
 * the tail, and so turn the order of a lane around that was listed in part.
 */
const NEVER_REACHED = 1_000_000_000;
/** A crash charges the whole window of an ordered queue, and 100 of them must not condemn a thousand. */
const ORDERED_DELIVERY_LIMIT = 1_000;
const HOUR_MS = 3_600_000;
/** The broker's own is 30 min; an ordered consumer holds a failed message as long as its retries take. */
export const CONSUMER_TIMEOUT_MS: number = 12 * HOUR_MS;

export interface ExchangeEntity {
  readonly kind: 'exchange';
  readonly name: string;
  readonly type: 'topic' | 'fanout';
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface QueueEntity {
  readonly kind: 'queue';
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface BindingEntity {
  readonly kind: 'binding';
  readonly source: string;
  readonly to: 'exchange' | 'queue';
  readonly name: string;
  readonly pattern: string;
}

export type Entity = ExchangeEntity | QueueEntity | BindingEntity;

/** All that a topology is on the broker, each behind what it needs. */
export function entitiesOf({ topics, queues }: Topology): readonly Entity[] {
  return [
    ...topics.map(({ name }) => topicExchange(name)),
    ...(queues.length > 0 ? ladder() : []),
    ...queues.flatMap(queueEntities),
  ];
}

function queueEntities(queue: Queue): readonly Entity[] {
  const dead = deadName(queue.name);
  return [
    // Every listing counts as a delivery on 4.0, and the default limit of 20 drops.
    quorum(dead, { 'x-delivery-limit': NEVER_REACHED }),
    quorum(queue.name, {
      'x-delivery-limit': queue.ordered ? ORDERED_DELIVERY_LIMIT : DELIVERY_LIMIT,
      ...deadLetterTo('', dead),
      'x-consumer-timeout': CONSUMER_TIMEOUT_MS,
      ...(queue.ordered ? { 'x-single-active-consumer': true } : {}),
    }),
    ...(queue.ordered ? [quorum(trialName(queue.name), { 'x-delivery-limit': NEVER_REACHED, 'x-max-length': 1 })] : []),
    bind(DUE, 'queue', queue.name, duePattern(queue.name)),
    ...queue.bindings.flatMap(({ topic, types }) => [
      topicExchange(topic.name),
      ...types.map((type) => bind(topic.name, 'queue', queue.name, type)),
    ]),
  ];
}

/** Lowest level first: a message never reaches a level that is not there. */
function ladder(): readonly Entity[] {
  const entities: Entity[] = [
    { kind: 'exchange', name: UNDELIVERED, type: 'fanout', arguments: {} },
    quorum(UNDELIVERED, { 'x-delivery-limit': NEVER_REACHED }),
    bind(UNDELIVERED, 'queue', UNDELIVERED, ''),
    // The default exchange as target stalls a level behind 32 messages for queues that are gone: seen.
    { kind: 'exchange', name: DUE, type: 'topic', arguments: { 'alternate-exchange': UNDELIVERED } },
  ];
  for (let level = 0; level < LEVELS; level += 1) {
    const name = levelName(level);
    const lower = level === 0 ? DUE : levelName(level - 1);
    entities.push(
      { kind: 'exchange', name, type: 'topic', arguments: {} },
      quorum(name, { 'x-message-ttl': STEP_MS * 2 ** level, ...deadLetterTo(lower) }),
      bind(name, 'queue', name, levelPattern(level, 1)),
      bind(name, 'exchange', lower, levelPattern(level, 0)),
    );
  }
  return entities;
}

/** Without `reject-publish` the broker falls back to at-most-once in silence. */
function deadLetterTo(exchange: string, routingKey?: string): Readonly<Record<string, unknown>> {
  return {
    'x-dead-letter-exchange': exchange,
    ...(routingKey === undefined ? {} : { 'x-dead-letter-routing-key': routingKey }),
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
}

function topicExchange(name: string): ExchangeEntity {
  return { kind: 'exchange', name, type: 'topic', arguments: {} };
}

function quorum(name: string, settings: Readonly<Record<string, unknown>>): QueueEntity {
  return { kind: 'queue', name, arguments: { 'x-queue-type': 'quorum', ...settings } };
}

function bind(source: string, to: 'exchange' | 'queue', name: string, pattern: string): BindingEntity {
  return { kind: 'binding', source, to, name, pattern };
}
