import type { Content } from './amqp.ts';
import { scheduledTime } from './entry.ts';
import type { EntityRecord, Journal } from './journal.ts';
import type { Mailbox } from './mailbox.ts';
import { entityNotFound, notAllowed, Problem } from './problem.ts';
import {
  checkKept,
  checkProperties,
  type Properties,
  queueDefaults,
  subscriptionDefaults,
  topicDefaults,
} from './properties.ts';
import { everything, type Rule } from './rule.ts';
import { checkEnabled, checkSession, type Surroundings } from './store.ts';
import { Queue, Subscription, Topic } from './topic.ts';

export type Entity = Queue | Subscription | Topic;

/** Messages that passed through this many queues go no further. */
const maxHops = 4;
const hopsAnnotation = 'x-stand-in-hops';
const tickMs = 10;

/** All entities and their messages. */
export class Namespace {
  /** Queues and topics share their names, whose case does not matter. */
  readonly #entities = new Map<string, Queue | Topic>();
  readonly #ticker = setInterval(() => this.#tick(), tickMs);
  readonly #surroundings: Surroundings = {
    forward: (path, content) => this.#forward(path, content),
    journal: () => this.#journal,
  };
  readonly #removed = new Set<(path: string) => void>();
  #journal: Journal | undefined;

  get queues(): Queue[] {
    return [...this.#entities.values()].filter((entity) => entity.kind === 'queue');
  }

  get topics(): Topic[] {
    return [...this.#entities.values()].filter((entity) => entity.kind === 'topic');
  }

  createQueue(name: string, properties: Properties = {}): Queue {
    this.#demandFree(name);
    const queue = new Queue(name, checked({ ...queueDefaults, ...properties }), this.#surroundings);
    this.#entities.set(name.toLowerCase(), queue);
    this.#note(queue);
    return queue;
  }

  createTopic(name: string, properties: Properties = {}): Topic {
    this.#demandFree(name);
    const topic = new Topic(name, checked({ ...topicDefaults, ...properties }), this.#surroundings.journal);
    this.#entities.set(name.toLowerCase(), topic);
    this.#note(topic);
    return topic;
  }

  createSubscription(topicName: string, name: string, properties: Properties = {}, rule?: Rule): Subscription {
    const topic = this.topic(topicName);
    if (topic.subscriptions.has(name.toLowerCase())) {
      throw alreadyExists(`${topicName}/Subscriptions/${name}`);
    }
    const path = `${topic.path}/Subscriptions/${name}`;
    const subscription = new Subscription(
      path,
      checked({ ...subscriptionDefaults, ...properties }),
      this.#surroundings,
    );
    const first = rule ?? { name: '$Default', filter: everything };
    subscription.rules.set(first.name, first);
    topic.subscriptions.set(name.toLowerCase(), subscription);
    this.#note(subscription);
    return subscription;
  }

  /** Throws for a property that an entity keeps for life. */
  update(path: string, properties: Properties): Entity {
    const entity = this.find(path);
    checkProperties(properties);
    checkKept(entity.properties, properties);
    entity.properties = { ...entity.properties, ...properties };
    this.#note(entity);
    return entity;
  }

  /** Adds a rule to a subscription, or replaces the one of its name. */
  setRule(subscription: Subscription, rule: Rule): void {
    subscription.rules.set(rule.name, rule);
    this.#note(subscription);
  }

  /** Throws a not-found. */
  removeRule(subscription: Subscription, name: string): void {
    if (!subscription.rules.delete(name)) {
      throw entityNotFound(`${subscription.path}/Rules/${name}`);
    }
    this.#note(subscription);
  }

  topic(name: string): Topic {
    const entity = this.#entities.get(name.toLowerCase());
    if (entity?.kind !== 'topic') {
      throw entityNotFound(name);
    }
    return entity;
  }

  /** Throws a not-found. `path` may lead to a dead letter queue, whose entity it is then. */
  find(path: string): Entity {
    const { base } = splitPath(path);
    const [, topicName, subscriptionName] = /^(.+)\/subscriptions\/([^/]+)$/i.exec(base) ?? [];
    const entity =
      topicName === undefined || subscriptionName === undefined
        ? this.#entities.get(base.toLowerCase())
        : this.topic(topicName).subscriptions.get(subscriptionName.toLowerCase());
    if (entity === undefined) {
      throw entityNotFound(path);
    }
    return entity;
  }

  remove(path: string): void {
    const entity = this.find(path);
    if (entity.kind === 'subscription') {
      const [topicName = '', name = ''] = entity.path.split('/Subscriptions/');
      this.topic(topicName).subscriptions.delete(name.toLowerCase());
    } else {
      this.#entities.delete(entity.path.toLowerCase());
    }
    this.#journal?.append({ record: 'entity-gone', path: entity.path });
    this.#removed.forEach((told) => told(entity.path));
  }

  /** Tells of entities that are removed, until what it returns is called. */
  onRemoved(told: (path: string) => void): () => void {
    this.#removed.add(told);
    return () => void this.#removed.delete(told);
  }

  /** What a receiver of `path` receives from. */
  mailbox(path: string): Mailbox {
    const { sub } = splitPath(path);
    const entity = this.find(path);
    if (entity.kind === 'topic') {
      throw notAllowed(`The entity '${entity.path}' is a topic: receive from its subscriptions.`);
    }
    return entity[sub];
  }

  /** Where scheduled messages of `path` are. */
  schedule(path: string): Mailbox {
    const entity = this.find(path);
    return entity.kind === 'topic' ? entity.schedule : entity.main;
  }

  /** Takes all messages or, by throwing, none. */
  send(path: string, contents: readonly Content[]): void {
    const entity = this.#demandSendable(path, contents);
    const now = Date.now();
    for (const content of contents) {
      if (entity.duplicates.isNew(content, entity.properties)) {
        const at = scheduledTime(content);
        if (at !== undefined && at > now) {
          this.schedule(path).schedule(content, at);
        } else {
          take(entity, content);
        }
      }
    }
  }

  /** Returns the numbers of scheduled messages; a duplicate has one too. */
  scheduleAll(path: string, contents: readonly Content[]): number[] {
    const entity = this.#demandSendable(path, contents);
    return contents.map((content) => {
      const sequence = this.schedule(path).schedule(content, scheduledTime(content) ?? Date.now());
      if (!entity.duplicates.isNew(content, entity.properties)) {
        this.schedule(path).cancelScheduled([sequence]);
      }
      return sequence;
    });
  }

  /** Every entity, topics before their subscriptions. */
  *entities(): Iterable<Entity> {
    for (const entity of this.#entities.values()) {
      yield entity;
      if (entity.kind === 'topic') {
        yield* entity.subscriptions.values();
      }
    }
  }

  /** From now on all that happens is written down. */
  keepIn(journal: Journal): void {
    this.#journal = journal;
  }

  /** Must come before an answer that tells that something is stored. */
  flush(): void {
    this.#journal?.flush();
  }

  close(): void {
    clearInterval(this.#ticker);
    this.#journal?.close();
    this.#journal = undefined;
  }

  #forward(path: string, content: Content): void {
    const hops = Number(content.message_annotations?.[hopsAnnotation] ?? 0) + 1;
    if (hops > maxHops) {
      throw new Problem('MaxTransferHopCountExceeded', `The message passed ${maxHops} entities.`, 400);
    }
    this.send(path, [{ ...content, message_annotations: { ...content.message_annotations, [hopsAnnotation]: hops } }]);
  }

  #note(entity: Entity): void {
    this.#journal?.append(entityRecord(entity));
  }

  #demandSendable(path: string, contents: readonly Content[]): Queue | Topic {
    const entity = this.find(path);
    if (entity.kind === 'subscription') {
      throw notAllowed(`The entity '${path}' takes no messages: send to its topic.`);
    }
    checkEnabled(entity, 'SendDisabled');
    if (entity.kind === 'queue') {
      contents.forEach((content) => checkSession(entity, content));
    }
    return entity;
  }

  #demandFree(name: string): void {
    if (this.#entities.has(name.toLowerCase())) {
      throw alreadyExists(name);
    }
  }

  #tick(): void {
    const now = Date.now();
    for (const { mailboxes } of this.entities()) {
      for (const mailbox of Object.values(mailboxes)) {
        mailbox.tick(now);
      }
    }
  }
}

/** What a journal says of an entity. */
export function entityRecord(entity: Entity): EntityRecord {
  const { kind, path, properties } = entity;
  const rules = entity.kind === 'subscription' ? [...entity.rules.values()] : [];
  return { record: 'entity', kind, path, properties, rules };
}

function take(entity: Queue | Topic, content: Content): void {
  if (entity.kind === 'queue') {
    entity.main.enqueue(content);
  } else {
    entity.distribute(content);
  }
}

function splitPath(path: string): { base: string; sub: 'main' | 'dead' | 'transferDead' } {
  const [, base, transfer] = /^(.*?)(\/\$Transfer)?\/\$DeadLetterQueue$/i.exec(path) ?? [];
  if (base === undefined) {
    return { base: path, sub: 'main' };
  }
  return { base, sub: transfer === undefined ? 'dead' : 'transferDead' };
}

function checked(properties: Properties): Properties {
  checkProperties(properties);
  return properties;
}

function alreadyExists(path: string): Problem {
  const text = `SubCode=40900. Conflict. The messaging entity 'sb://localhost/${path}' already exists.`;
  return new Problem('com.microsoft:entity-already-exists', text, 409);
}
