import {
  type Admin,
  byDeadline,
  type Capabilities,
  deadName,
  type Driver,
  type Lane,
  type OutgoingMessage,
  type Page,
  type Queue,
  type SubscribeOptions,
  type Subscription,
  type Topology,
  WaybillError,
} from '@waybill/core/driver';
import type { Kafka } from 'kafkajs';
import { KafkajsClient } from './client/kafkajs-client.ts';
import type { ClientLine } from './client/port.ts';
import { KafkaAdmin } from './kafka-admin.ts';
import { KafkaDeadLane } from './kafka-dead-lane.ts';
import { delayTopics, ownTopics, workTopics } from './kafka-delays.ts';
import type { Source } from './kafka-holdings.ts';
import { checkOptions, type KafkaOptions, type Settings } from './kafka-options.ts';
import { KafkaPublisher, PRODUCERS } from './kafka-publisher.ts';
import { KafkaRegistry } from './kafka-registry.ts';
import { KafkaSubscription } from './kafka-subscription.ts';

export interface KafkaDriver extends Driver {
  readonly admin: Admin;
  browse(queue: Queue, after: string | undefined, max: number): Promise<Page>;
  /** The kafkajs client, for what Waybill has no word for. */
  readonly client: Kafka;
}

/** Connects nowhere yet; throws INVALID_ARGUMENT listing every problem of the options. */
export function kafka(options: KafkaOptions): KafkaDriver {
  return new KafkaJsDriver(checkOptions(options));
}

/** What a subscription has to end that was refused. */
const REFUSED_CLOSE_MS = 1_000;

class KafkaJsDriver implements KafkaDriver {
  readonly spec = 1;
  readonly name = 'kafka';
  readonly capabilities: Capabilities;
  readonly limits: Driver['limits'];
  readonly admin: KafkaAdmin;
  readonly #client: KafkajsClient;
  readonly #settings: Settings;
  readonly #registry: KafkaRegistry;
  readonly #publisher: KafkaPublisher;
  readonly #deadLane: KafkaDeadLane;
  readonly #subscriptions = new Set<KafkaSubscription>();

  constructor(settings: Settings) {
    this.#settings = settings;
    this.capabilities = capabilitiesOf(settings);
    // A topic's limit is one of a batch: what goes to one partition with one call.
    const bytes = Math.max(settings.maxMessageBytes - 65_536, settings.maxMessageBytes / 2);
    this.limits = {
      send: { count: 500, bytes, concurrency: PRODUCERS, everyMs: 0 },
      receive: { count: 1_000, bytes: Number.POSITIVE_INFINITY, concurrency: 1, everyMs: 0 },
      settle: { count: 1_000, bytes: Number.POSITIVE_INFINITY, concurrency: 1, everyMs: 0 },
    };
    this.#client = new KafkajsClient(settings);
    this.#registry = new KafkaRegistry(this.#client);
    this.#publisher = new KafkaPublisher(this.#client);
    this.#deadLane = new KafkaDeadLane(this.#client.admin);
    this.admin = new KafkaAdmin(this.#client, this.#registry, settings);
  }

  get client(): Kafka {
    return this.#client.kafka;
  }

  send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    return this.#publisher.send(batch, signal);
  }

  async subscribe(queue: Queue, lane: Lane, options: SubscribeOptions): Promise<Subscription> {
    const source = this.#sourceOf(queue, lane);
    const known = await this.#client.admin.partitions(source.topics);
    const missing = source.topics.find((topic) => !known.has(topic));
    if (missing !== undefined)
      throw new WaybillError('NOT_FOUND', `Topic "${missing}" does not exist. Apply the topology.`);
    const subscription = new KafkaSubscription(source, options);
    this.#subscriptions.add(subscription);
    void subscription.closed.then(() => this.#subscriptions.delete(subscription));
    try {
      await subscription.open();
    } catch (error) {
      await subscription.close(Date.now() + REFUSED_CLOSE_MS);
      throw error;
    }
    return subscription;
  }

  async boundTypes(queue: Queue, types: readonly string[]): Promise<readonly string[]> {
    await this.#registry.read();
    const bound = this.#registry.types(queue.name);
    return types.filter((type) => bound.has(type));
  }

  verify(topology: Topology): Promise<readonly string[]> {
    return this.admin.verify(topology);
  }

  browse(queue: Queue, after: string | undefined, max: number): Promise<Page> {
    return this.#deadLane.browse(queue, after, max);
  }

  watch(listener: (line: ClientLine) => void): void {
    this.#client.watch(listener);
  }

  async close(deadlineMs: number): Promise<void> {
    await Promise.allSettled([...this.#subscriptions].map((subscription) => subscription.close(deadlineMs)));
    const closed = Promise.allSettled([this.#publisher.close(), this.#client.close()]);
    await byDeadline(deadlineMs, closed);
  }

  #sourceOf(queue: Queue, lane: Lane): Source {
    const dead = deadName(queue.name);
    const { sessionTimeoutMs } = this.#settings;
    const source = { client: this.#client, sessionTimeoutMs };
    if (lane === 'dead') {
      const beginnings = (): Promise<ReadonlyMap<string, number>> => Promise.resolve(new Map());
      return {
        ...source,
        groupId: dead,
        topics: [dead],
        delayTopics: [],
        ownTopics: [dead],
        counts: false,
        beginnings,
      };
    }
    return {
      ...source,
      groupId: queue.name,
      topics: workTopics(queue),
      delayTopics: delayTopics(queue.name),
      ownTopics: ownTopics(queue.name),
      counts: true,
      beginnings: async () => {
        await this.#registry.read();
        return this.#registry.beginnings(queue);
      },
    };
  }
}

function capabilitiesOf({ envelope, maxDelayMs, maxMessageBytes }: Settings): Capabilities {
  return {
    ordering: 'key',
    // The core asks `boundTypes` about what it does not know.
    filtersTypes: false,
    reject: 'none',
    envelope,
    maxDelayMs,
    delayErrorMs: 500,
    maxHoldMs: Number.POSITIVE_INFINITY,
    maxMessageBytes,
    maxDeliveries: Number.POSITIVE_INFINITY,
  };
}
