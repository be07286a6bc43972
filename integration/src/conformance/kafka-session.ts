import type { Extent, Session } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
import { deadName, type Queue } from '@waybill/core/driver';
import kafkajs, { type ITopicConfig } from 'kafkajs';
import { topicAt, withAdmin } from '../kafka-client.ts';
import type { Kafka, KafkaNode } from '../kafka.ts';
import type { KafkaProxies } from '../kafka-proxies.ts';
import { networkFaults, NodeFaults } from './faults.ts';
import { createDriver, type SessionOptions } from './kafka-driver.ts';
import { type IsOurs, removeIdle } from './kafka-traces.ts';
import { telling } from './telling.ts';

// Node finds only some of kafkajs's exports by name.
const { ConfigResourceTypes, ConfigSource } = kafkajs;
const PARTITIONS = 4;
/** How long what a killed process held stays with it; scenarios wait for that. */
const SESSION_TIMEOUT_MS = 10_000;

/** The cluster of a run. Without proxies it is somebody else's. */
export interface Cluster {
  readonly kafka: Kafka;
  readonly openProxies?: () => Promise<KafkaProxies>;
}

/** One scenario's connections, behind proxies of their own where there are some. */
export class KafkaSession implements Session {
  readonly #kafka: Kafka;
  readonly #proxies: KafkaProxies | undefined;
  readonly #refused = new Map<string, ITopicConfig>();
  readonly #onClose: (isOurs: IsOurs) => void;
  /** A queue of this session, by which the node to kill is chosen. */
  #queue: string | undefined;
  readonly #nodes = new NodeFaults();
  readonly worker: NonNullable<Session['worker']>;
  readonly faults: Session['faults'];

  /** `onClose` hears what the session's topics and groups are. */
  static async open({ kafka, openProxies }: Cluster, onClose: (isOurs: IsOurs) => void): Promise<KafkaSession> {
    return new KafkaSession(kafka, await openProxies?.(), onClose);
  }

  private constructor(kafka: Kafka, proxies: KafkaProxies | undefined, onClose: (isOurs: IsOurs) => void) {
    this.#kafka = kafka;
    this.#proxies = proxies;
    this.#onClose = onClose;
    this.worker = { url: new URL('./kafka-driver.js', import.meta.url).href, options: optionsFor(kafka, proxies) };
    this.faults = {
      ...networkFaults(proxies),
      pause: (on) => (on ? this.#nodes.break(kafka.nodes, 'pause') : this.#nodes.mend()),
      kill: async (extent) => this.#nodes.break(await this.#nodesOf(extent), 'kill'),
      start: () => this.#nodes.mend(),
      refuseDeadLane: (queue, on) => (on ? this.#removeDeadLane(queue) : this.#restoreDeadLane(queue)),
    };
  }

  createDriver(settings: Parameters<Session['createDriver']>[0] = {}): Driver {
    const driver = createDriver(this.worker.options, settings);
    return telling(driver, ({ queues }) => {
      this.#queue ??= queues[0]?.name;
    });
  }

  async close(prefix: string): Promise<void> {
    const isOurs: IsOurs = (name) => name.startsWith(`${prefix}.`);
    this.#onClose(isOurs);
    // What a failed scenario broke would fail all that follow.
    await this.#nodes.mend();
    await this.#proxies?.close();
    await removeIdle(this.#kafka.brokers, isOurs);
  }

  /** One is that which leads the first partition of a queue of this session. */
  async #nodesOf(extent: Extent = 'broker'): Promise<readonly KafkaNode[]> {
    const { nodes } = this.#kafka;
    if (extent === 'broker' || nodes.length === 1) return nodes;
    if (this.#queue === undefined) throw new Error('Before a node is killed, a driver of the session makes a queue.');
    const leader = await this.#kafka.leaderOf(deadName(this.#queue), 0);
    return nodes.filter(({ id }) => id === leader);
  }

  /** No setting has a topic refuse writes for a while: `min.insync.replicas` counts for no more than it has replicas. */
  async #removeDeadLane({ name }: Queue): Promise<void> {
    const topic = deadName(name);
    await withAdmin(this.#kafka.brokers, async (admin) => {
      const { partitions } = await topicAt(admin, topic);
      const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }];
      const described = await admin.describeConfigs({ resources, includeSynonyms: false });
      const entries = described.resources[0]?.configEntries ?? [];
      const own = entries.filter(({ configSource }) => configSource === ConfigSource.TOPIC_CONFIG);
      await admin.deleteTopics({ topics: [topic] });
      this.#refused.set(topic, {
        topic,
        numPartitions: partitions.length,
        replicationFactor: partitions[0]?.replicas.length ?? 1,
        configEntries: own.map(({ configName, configValue }) => ({ name: configName, value: configValue })),
      });
    });
  }

  async #restoreDeadLane({ name }: Queue): Promise<void> {
    const lane = this.#refused.get(deadName(name));
    if (lane === undefined) return;
    this.#refused.delete(lane.topic);
    await withAdmin(this.#kafka.brokers, (admin) => admin.createTopics({ topics: [lane], waitForLeaders: true }));
  }
}

function optionsFor({ brokers }: Kafka, proxies: KafkaProxies | undefined): SessionOptions {
  const options = { partitions: PARTITIONS, sessionTimeoutMs: SESSION_TIMEOUT_MS };
  return proxies === undefined
    ? { ...options, brokers, runBy: process.pid }
    : { ...options, brokers: proxies.brokers, addresses: proxies.addresses };
}
