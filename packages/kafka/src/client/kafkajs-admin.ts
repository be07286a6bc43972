import { setMaxListeners } from 'node:events';
import { byDeadline, pause, systemClock, WaybillError } from '@waybill/core/driver';
import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import { toWaybillError, typeOf } from '../kafka-error.ts';
import { coordinatorOf, openCluster, type OpenCluster } from './kafkajs-cluster.ts';
import { toCommits } from './kafkajs-group.ts';
import { visibleRecords } from './kafkajs-records.ts';
import {
  byTopic,
  type ClientAdmin,
  type Commit,
  type Committed,
  type NewTopic,
  type Place,
  placeName,
  type StoredRecord,
} from './port.ts';

const BYTES = 1_048_576;
const LONGEST_POLL_MS = 50;
const READ_COMMITTED = 1;
/**
 * A node has just died, a partition is moving, or its leader has not heard of a new topic: requests are repeated for so
 * long, and once at least.
 */
const PATIENCE_MS = 2_000;
const FIRST_RETRY_MS = 25;
const KNOWN_AFTER_MS = 50;
const NO_MEMBER = { groupGenerationId: -1, memberId: '' };

/** Requests outside a group, over connections of their own. */
export class KafkajsAdmin implements ClientAdmin {
  readonly #admin: Admin;
  readonly #cluster: OpenCluster;
  #connected: Promise<unknown> | undefined;
  readonly #closed = new AbortController();
  #used = false;

  constructor(kafka: Kafka) {
    // Each request that waits for its next try listens to it.
    setMaxListeners(0, this.#closed.signal);
    this.#admin = kafka.admin();
    this.#cluster = openCluster(kafka, 'waybill');
  }

  async partitions(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>();
    // kafkajs fails as a whole when one of several topics does not exist.
    await Promise.all(
      [...new Set(topics)].map(async (topic) => {
        const count = await this.#ask(`look up topic "${topic}"`, () => this.#partitionsOf(topic));
        if (count > 0) found.set(topic, count);
      }),
    );
    return found;
  }

  nodes(): Promise<number> {
    return this.#ask('look up the nodes', async () => (await this.#admin.describeCluster()).brokers.length);
  }

  async create(topics: readonly NewTopic[], signal: AbortSignal): Promise<void> {
    // One by one: kafkajs tells of several only that some failed.
    for (const { topic, partitions: numPartitions, replicationFactor, config } of topics) {
      const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
      await this.#ask(`create topic "${topic}"`, () =>
        this.#admin.createTopics({
          topics: [{ topic, numPartitions, replicationFactor, configEntries }],
          waitForLeaders: false,
        }),
      );
    }
    const names = topics.map(({ topic }) => topic);
    while (names.length > 0 && !(await this.#areKnown(names))) {
      if (signal.aborted)
        throw new WaybillError('TIMEOUT', `Could not wait for leaders of ${names.join(', ')} in time.`);
      await pause(systemClock, KNOWN_AFTER_MS, signal);
    }
  }

  config(
    topics: readonly string[],
    names: readonly string[],
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    return this.#ask(`read the settings of ${topics.join(', ')}`, async () => {
      const resources = topics.map((name) => ({
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name,
        configNames: [...names],
      }));
      const { resources: answers } = await this.#admin.describeConfigs({ resources, includeSynonyms: false });
      return new Map(
        answers.map(({ resourceName, configEntries }) => [
          resourceName,
          new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])),
        ]),
      );
    });
  }

  async offsets(places: readonly Place[], at: 'first' | 'end'): Promise<ReadonlyMap<string, number>> {
    if (places.length === 0) return new Map();
    return this.#ask('read the offsets of topics', async () => {
      const topics = byTopic(places);
      await this.#know([...topics.keys()]);
      const answers = await this.#cluster.fetchTopicsOffset(
        [...topics].map(([topic, partitions]) => ({ topic, partitions, fromBeginning: at === 'first' })),
      );
      return new Map(
        answers.flatMap(({ topic, partitions }) =>
          partitions.map(({ partition, offset }) => [placeName({ topic, partition }), Number(offset)] as const),
        ),
      );
    });
  }

  async committed(groupId: string, places: readonly Place[]): Promise<ReadonlyMap<string, Committed>> {
    if (places.length === 0) return new Map();
    return this.#ask(`read what group ${groupId} committed`, async () => {
      const coordinator = await coordinatorOf(this.#cluster, groupId);
      const topics = [...byTopic(places)].map(([topic, partitions]) => ({ topic, partitions }));
      const { responses } = await coordinator.offsetFetch({ groupId, topics: topics as never });
      return new Map(
        responses.flatMap(({ topic, partitions }) =>
          partitions.map((found) => {
            const { partition, offset, metadata } = found as typeof found & { readonly metadata?: string | null };
            const known = Number(offset) < 0 ? undefined : Number(offset);
            return [placeName({ topic, partition }), { offset: known, metadata: metadata ?? '' }] as const;
          }),
        ),
      );
    });
  }

  async commit(groupId: string, offsets: readonly Commit[]): Promise<void> {
    if (offsets.length === 0) return;
    await this.#ask(`commit for group ${groupId}`, async () => {
      const coordinator = await coordinatorOf(this.#cluster, groupId);
      await coordinator.offsetCommit({ groupId, ...NO_MEMBER, topics: toCommits(offsets) });
    });
  }

  read(place: Place, from: number): Promise<{ readonly records: readonly StoredRecord[]; readonly next: number }> {
    const { topic, partition } = place;
    return this.#ask(`read ${placeName(place)}`, async () => {
      await this.#know([topic]);
      const node = await this.#cluster.findBroker({ nodeId: this.#leaderOf(place) });
      const { responses } = await node.fetch({
        isolationLevel: READ_COMMITTED,
        maxWaitTime: LONGEST_POLL_MS,
        minBytes: 1,
        maxBytes: BYTES,
        topics: [{ topic, partitions: [{ partition, fetchOffset: String(from), maxBytes: BYTES }] }],
        rackId: '',
      });
      const fetched = responses[0]?.partitions[0];
      return fetched === undefined ? { records: [], next: from } : visibleRecords(fetched, from);
    });
  }

  async hasMembers(groupId: string): Promise<boolean> {
    const { groups } = await this.#ask(`look up group ${groupId}`, () => this.#admin.describeGroups([groupId]));
    return (groups[0]?.members.length ?? 0) > 0;
  }

  async deleteBefore(offsets: readonly (Place & { readonly offset: number })[]): Promise<void> {
    const topics = byTopic(offsets);
    await this.#ask(`delete records of ${[...topics.keys()].join(', ')}`, async () => {
      await this.#know([...topics.keys()]);
      const nodes = new Map<string, typeof offsets>();
      for (const entry of offsets)
        nodes.set(this.#leaderOf(entry), [...(nodes.get(this.#leaderOf(entry)) ?? []), entry]);
      for (const [nodeId, entries] of nodes) {
        const node = await this.#cluster.findBroker({ nodeId });
        const requests = [...byTopic(entries)].map(([topic, partitions]) => ({
          topic,
          partitions: partitions.map(({ partition, offset }) => ({ partition, offset: String(offset) })),
        }));
        await node.deleteRecords({ topics: requests });
      }
    });
  }

  async close(deadlineMs: number): Promise<void> {
    this.#closed.abort();
    if (!this.#used) return;
    const disconnected = [this.#admin.disconnect(), this.#cluster.disconnect()];
    await byDeadline(deadlineMs, Promise.allSettled(disconnected));
  }

  #leaderOf({ topic, partition }: Place): string {
    const found = this.#cluster.findTopicPartitionMetadata(topic).find(({ partitionId }) => partitionId === partition);
    return String(found?.leader);
  }

  async #partitionsOf(topic: string): Promise<number> {
    try {
      const { topics } = await this.#admin.fetchTopicMetadata({ topics: [topic] });
      return topics[0]?.partitions.length ?? 0;
    } catch (error) {
      if (typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION') return 0;
      throw error;
    }
  }

  /** By every node, and by their leaders as their own: nodes hear of a new topic one after the other. */
  async #areKnown(topics: string[]): Promise<boolean> {
    try {
      await this.#cluster.addMultipleTargetTopics(topics);
      await this.#cluster.refreshMetadata();
      for (const nodeId of this.#cluster.getNodeIds()) {
        const node = await this.#cluster.findBroker({ nodeId });
        const { topicMetadata } = await node.metadata(topics);
        const led = topicMetadata.filter(({ partitionMetadata }) =>
          partitionMetadata.every(({ leader }) => leader >= 0),
        );
        if (led.length < topics.length) return false;
      }
      await this.#cluster.fetchTopicsOffset(
        topics.map((topic) => ({
          topic,
          partitions: this.#cluster
            .findTopicPartitionMetadata(topic)
            .map(({ partitionId: partition }) => ({ partition })),
          fromBeginning: true,
        })),
      );
      return true;
    } catch {
      // One that was deleted fails every look at the others, for as long as it is asked about.
      this.#cluster.targetTopics.clear();
      return false;
    }
  }

  async #know(topics: string[]): Promise<void> {
    await this.#cluster.addMultipleTargetTopics(topics);
    await this.#cluster.refreshMetadataIfNecessary();
  }

  async #ask<T>(attempted: string, request: () => Promise<T>): Promise<T> {
    const until = Date.now() + PATIENCE_MS;
    for (let tries = 1; ; tries += 1) {
      try {
        this.#used = true;
        await (this.#connected ??= Promise.all([this.#admin.connect(), this.#cluster.connect()]));
        return await request();
      } catch (error) {
        const cause = toWaybillError(error, attempted);
        // Connections are made anew by the next request; who could not connect at all begins again.
        if (!this.#cluster.isConnected()) this.#connected = undefined;
        const mayPass = cause.retryable || cause.code === 'NOT_FOUND';
        const wait = FIRST_RETRY_MS * 2 ** tries;
        const isLast = this.#closed.signal.aborted || (tries > 1 && Date.now() + wait > until);
        if (!mayPass || isLast) throw cause;
        // One that was deleted fails every look at the others, for as long as it is asked about.
        if (cause.code === 'NOT_FOUND') this.#cluster.targetTopics.clear();
        // Who could not connect has waited already; and without a connection this would keep no process alive.
        if (this.#connected !== undefined) await pause(systemClock, wait, this.#closed.signal);
        await this.#cluster.refreshMetadata().catch(() => undefined);
      }
    }
  }
}
