import type { Queue } from '@waybill/core/driver';
import { type KafkaClient, placeName } from './client/port.ts';

/** Compacted, shared by all applications of a cluster: which types each queue is bound to, and since which offsets. */
export const REGISTRY = 'waybill.bindings';

const PLACE = { topic: REGISTRY, partition: 0 };

export interface Bound {
  readonly queue: string;
  readonly topic: string;
  readonly type: string;
  /** By partition, what the topic's end was when the queue was bound. */
  readonly since: readonly number[];
}

/**
 * A group that subscribes to a topic gets all of its types, from wherever it begins. What a queue is bound to, and since
 * when, is written down, so that all processes agree on it whatever version they are.
 */
export class KafkaRegistry {
  readonly #client: KafkaClient;
  readonly #bound = new Map<string, Bound>();
  #next = 0;
  #reading: Promise<void> | undefined;
  #again: Promise<void> | undefined;

  constructor(client: KafkaClient) {
    this.#client = client;
  }

  /** Resolves once everything is known that was written before the call. */
  read(): Promise<void> {
    return (this.#again ??= this.#after(this.#reading));
  }

  find(queue: string, topic: string, type: string): Bound | undefined {
    return this.#bound.get(keyOf(queue, topic, type));
  }

  types(queue: string): ReadonlySet<string> {
    return new Set([...this.#bound.values()].filter((bound) => bound.queue === queue).map(({ type }) => type));
  }

  /** By {@link placeName}, where a queue begins in its topics: the earliest of its types. */
  beginnings({ name, bindings }: Queue): ReadonlyMap<string, number> {
    const topics = new Set(bindings.map(({ topic }) => topic.name));
    const beginnings = new Map<string, number>();
    for (const { queue, topic, since } of this.#bound.values()) {
      if (queue !== name || !topics.has(topic)) continue;
      for (const [partition, offset] of since.entries()) {
        const place = placeName({ topic, partition });
        beginnings.set(place, Math.min(offset, beginnings.get(place) ?? offset));
      }
    }
    return beginnings;
  }

  async write(bindings: readonly Bound[]): Promise<void> {
    const producer = this.#client.producer();
    try {
      const failures = await producer.send(
        bindings.map(({ queue, topic, type, since }) => ({
          topic: REGISTRY,
          key: keyOf(queue, topic, type),
          value: Buffer.from(since.join(',')),
          headers: {},
        })),
      );
      for (const failure of failures.values()) throw failure;
    } finally {
      await producer.close().catch(() => undefined);
    }
  }

  async #after(reading: Promise<void> | undefined): Promise<void> {
    await reading?.catch(() => undefined);
    this.#again = undefined;
    this.#reading = this.#readOn();
    try {
      await this.#reading;
    } finally {
      this.#reading = undefined;
    }
  }

  async #readOn(): Promise<void> {
    const { admin } = this.#client;
    if (!(await admin.partitions([REGISTRY])).has(REGISTRY)) return;
    const end = (await admin.offsets([PLACE], 'end')).get(placeName(PLACE)) ?? 0;
    // It was made anew.
    if (end < this.#next) this.#next = 0;
    while (this.#next < end) {
      const { records, next } = await admin.read(PLACE, this.#next);
      for (const { key, value } of records) this.#keep(key?.toString() ?? '', value?.toString());
      // Compaction leaves gaps, also at the end.
      this.#next = next > this.#next ? next : end;
    }
  }

  #keep(key: string, value: string | undefined): void {
    if (value === undefined) {
      this.#bound.delete(key);
      return;
    }
    const [queue = '', topic = '', type = ''] = key.split('\t');
    const since = value === '' ? [] : value.split(',').map(Number);
    if (since.some((offset) => !Number.isSafeInteger(offset))) return;
    this.#bound.set(key, { queue, topic, type, since });
  }
}

function keyOf(queue: string, topic: string, type: string): string {
  return [queue, topic, type].join('\t');
}
