import type { Delivery, WaybillError } from '@waybill/core/driver';
import { expect } from 'vitest';
import type { ClientGroup, Commit, GroupOptions, KafkaClient, StoredRecord } from '../src/client/port.ts';
import { placeName } from '../src/client/port.ts';
import { type Progress, readProgress } from '../src/kafka-offsets.ts';
import { KafkaSubscription } from '../src/kafka-subscription.ts';

export const ORDERS = { topic: 'orders', partition: 0 };
export const never = new AbortController().signal;

/** One group and what it commits; the test says what becomes of the group. */
export class FakeKafka {
  readonly committed = new Map<string, Commit>();
  readonly lost: Delivery[] = [];
  /** What the next commits reject with. */
  readonly failures: WaybillError[] = [];
  commits = 0;
  #options: GroupOptions | undefined;

  readonly client = {
    group: (options: GroupOptions): ClientGroup => {
      this.#options = options;
      return {
        start: () => Promise.resolve(),
        wake: () => undefined,
        rejoin: () => undefined,
        commit: (offsets) => this.#commit(offsets),
        prove: () => Promise.resolve(),
        close: () => Promise.resolve(),
      };
    },
    admin: { committed: () => Promise.resolve(new Map(this.committed)), deleteBefore: () => Promise.resolve() },
  } as unknown as KafkaClient;

  get group(): GroupOptions {
    return this.#options as GroupOptions;
  }

  /** A member that has one partition, which can be read. */
  async open(): Promise<KafkaSubscription> {
    const source = {
      client: this.client,
      groupId: 'billing',
      topics: ['orders'],
      delayTopics: [],
      ownTopics: [],
      sessionTimeoutMs: 10_000,
      counts: true,
      beginnings: () => Promise.resolve(new Map<string, number>()),
    };
    const subscription = new KafkaSubscription(source, {
      maxInFlight: 100,
      onLost: (deliveries) => void this.lost.push(...deliveries),
    });
    await subscription.open();
    await this.assign(false);
    return subscription;
  }

  async assign(continued: boolean): Promise<void> {
    this.group.onAssigned({ assignment: new Map([[ORDERS.topic, [ORDERS.partition]]]), surplus: [] }, continued);
    await expect.poll(() => this.group.wanted(ORDERS)).toBeTypeOf('number');
  }

  /** Records from where reading goes on. */
  deliver(count: number): void {
    const from = this.group.wanted(ORDERS) as number;
    const records = Array.from({ length: count }, (_, index) => recordAt(from + index));
    this.group.onRecords(ORDERS, records, from + count);
  }

  /** As the next owner reads it. */
  get progress(): Progress {
    const { offset, metadata } = this.committed.get(placeName(ORDERS)) ?? { offset: 0, metadata: '' };
    return readProgress(offset, metadata);
  }

  #commit(offsets: readonly Commit[]): Promise<void> {
    const failure = this.failures.shift();
    if (failure !== undefined) return Promise.reject(failure);
    this.commits += 1;
    for (const commit of offsets) this.committed.set(placeName(commit), commit);
    return Promise.resolve();
  }
}

function recordAt(offset: number): StoredRecord {
  return { offset, timestamp: 1, key: null, value: Buffer.from(String(offset)), headers: undefined };
}
