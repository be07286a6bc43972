import { pause, systemClock } from '@waybill/core/driver';
import { toWaybillError, typeOf } from '../kafka-error.ts';
import type { FetchedPartition, OpenCluster } from './kafkajs-cluster.ts';
import { visibleRecords } from './kafkajs-records.ts';
import { type GroupOptions, type Place, placeName } from './port.ts';
import { Wakeable } from './wakeable.ts';

/** A node answers an empty fetch after this long. What is wanted anew waits for that answer. */
const LONGEST_POLL_MS = 100;
const BYTES_PER_PARTITION = 524_288;
const BYTES = 10_485_760;
/** Records of transactions that may still be aborted are not read. */
const READ_COMMITTED = 1;
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 1_000;

export type FetchSource = Pick<GroupOptions, 'wanted' | 'onRecords' | 'onGap' | 'onDown'>;

interface Want {
  readonly topic: string;
  readonly partitions: { readonly partition: number; readonly fetchOffset: string; readonly maxBytes: number }[];
}

/** One loop a node, each with one open fetch for everything that is wanted from there. None ever waits for a handler. */
export class KafkajsFetchers {
  readonly #cluster: OpenCluster;
  readonly #source: FetchSource;
  readonly #stop = new AbortController();
  readonly #wake = new Wakeable();
  readonly #loops = new Map<string, Promise<void>>();
  #assigned: readonly Place[] = [];

  constructor(cluster: OpenCluster, source: FetchSource) {
    this.#cluster = cluster;
    this.#source = source;
  }

  assign(places: readonly Place[]): void {
    this.#assigned = places;
    this.#spread();
    this.wake();
  }

  wake(): void {
    this.#wake.wake();
  }

  stop(): void {
    this.#stop.abort();
    this.wake();
  }

  /** A loop for each node that leads something of ours. */
  #spread(): void {
    for (const place of this.#assigned) {
      const node = this.#leaderOf(place);
      if (node !== undefined && !this.#loops.has(node)) this.#loops.set(node, this.#run(node));
    }
  }

  #leaderOf({ topic, partition }: Place): string | undefined {
    const leader = this.#cluster.findTopicPartitionMetadata(topic).find(({ partitionId }) => partitionId === partition);
    return leader === undefined || leader.leader < 0 ? undefined : String(leader.leader);
  }

  async #run(nodeId: string): Promise<void> {
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      const seen = this.#wake.count;
      try {
        const wants = this.#wantsFrom(nodeId);
        if (wants.length === 0) {
          // A leader that moved is noticed by those who want something from it.
          await this.#wake.wait(seen);
          continue;
        }
        const node = await this.#cluster.findBroker({ nodeId });
        if (signal.aborted) return;
        const answer = await node.fetch({
          isolationLevel: READ_COMMITTED,
          maxWaitTime: LONGEST_POLL_MS,
          minBytes: 1,
          maxBytes: BYTES,
          topics: wants,
          rackId: '',
        });
        failures = 0;
        if (!signal.aborted) this.#take(answer.responses, wants);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        await this.#recover(error, failures);
      }
    }
  }

  #wantsFrom(nodeId: string): Want[] {
    const wants = new Map<string, Want>();
    for (const place of this.#assigned) {
      const offset = this.#source.wanted(place);
      if (offset === undefined || this.#leaderOf(place) !== nodeId) continue;
      const { topic, partition } = place;
      let want = wants.get(topic);
      if (want === undefined) wants.set(topic, (want = { topic, partitions: [] }));
      want.partitions.push({ partition, fetchOffset: String(offset), maxBytes: BYTES_PER_PARTITION });
    }
    return [...wants.values()];
  }

  #take(responses: readonly { topicName: string; partitions: FetchedPartition[] }[], wants: readonly Want[]): void {
    const asked = new Map<string, number>();
    for (const { topic, partitions } of wants) {
      for (const { partition, fetchOffset } of partitions)
        asked.set(placeName({ topic, partition }), Number(fetchOffset));
    }
    for (const { topicName: topic, partitions } of responses) {
      for (const fetched of partitions) {
        if (fetched.messages.length === 0) continue;
        const place = { topic, partition: fetched.partition };
        const from = asked.get(placeName(place));
        // It was lost, or read on from elsewhere, in the meantime.
        if (from === undefined || this.#source.wanted(place) !== from) continue;
        const { records, next } = visibleRecords(fetched, from);
        if (next > from) this.#source.onRecords(place, records, next);
      }
    }
  }

  async #recover(error: unknown, failures: number): Promise<void> {
    try {
      if (typeOf(error) === 'OFFSET_OUT_OF_RANGE') await this.#skipGap(error as Place);
      else {
        if (failures > 1) this.#source.onDown(toWaybillError(error, 'read from the broker'));
        await this.#cluster.refreshMetadata();
      }
    } catch (again) {
      this.#source.onDown(toWaybillError(again, 'read from the broker'));
    }
    this.#spread();
    const wait = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures, 10));
    await pause(systemClock, wait, this.#stop.signal);
    // Others may have waited for a leader that is known now.
    this.wake();
  }

  /** Retention has deleted what was wanted, or the topic was made anew. Never to the end: that would lose what is there. */
  async #skipGap({ topic, partition }: Place): Promise<void> {
    const [offsets] = await this.#cluster.fetchTopicsOffset([
      { topic, partitions: [{ partition }], fromBeginning: true },
    ]);
    const first = offsets?.partitions.find((found) => found.partition === partition)?.offset;
    if (first !== undefined) this.#source.onGap({ topic, partition }, Number(first));
  }
}
