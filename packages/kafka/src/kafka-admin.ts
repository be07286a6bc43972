import {
  type Admin,
  deadName,
  type Depth,
  type Lane,
  type Queue,
  type Topology,
  WaybillError,
} from '@waybill/core/driver';
import { type KafkaClient, type Place, placeName } from './client/port.ts';
import { delayTopics, ownTopics, workTopics } from './kafka-delays.ts';
import { KafkaBacklog } from './kafka-backlog.ts';
import type { Settings } from './kafka-options.ts';
import { type Bound, type KafkaRegistry, REGISTRY } from './kafka-registry.ts';
import { CHECKED, grownTopics, missingTopics, topicsOf, unboundTypes, unequalTopics } from './kafka-topology.ts';

const MOST_REPLICAS = 3;

export class KafkaAdmin implements Admin {
  readonly #client: KafkaClient;
  readonly #registry: KafkaRegistry;
  readonly #settings: Settings;
  readonly #backlog: KafkaBacklog;

  constructor(client: KafkaClient, registry: KafkaRegistry, settings: Settings) {
    this.#client = client;
    this.#registry = registry;
    this.#settings = settings;
    this.#backlog = new KafkaBacklog(client.admin);
  }

  async apply(topology: Topology, signal: AbortSignal): Promise<readonly string[]> {
    const { admin } = this.#client;
    const names = [...topicsOf(topology), REGISTRY];
    const before = await admin.partitions(names);
    refuse(unequalTopics(topology, before));
    await this.#checkSettings(topology, before);
    const replicas = this.#settings.replicationFactor ?? Math.min(MOST_REPLICAS, await admin.nodes());
    const missing = missingTopics(topology, before, { ...this.#settings, replicas });
    await admin.create(missing, signal);
    const counts = missing.length === 0 ? before : await admin.partitions(names);
    // Another process may have made them, with other settings.
    refuse(unequalTopics(topology, counts));
    await this.#registry.read();
    const grown = grownTopics(topology, this.#registry, counts);
    const created = missing.map(({ topic, partitions }) => `Created topic "${topic}" with ${partitions} partitions.`);
    return [...created, ...grown, ...(await this.#bind(topology, counts))];
  }

  /** With the rights to describe topics, and to read what queues are bound to. */
  async verify(topology: Topology): Promise<readonly string[]> {
    const names = topicsOf(topology);
    const counts = await this.#client.admin.partitions(names);
    const missing = names.filter((topic) => !counts.has(topic)).map((topic) => `Topic "${topic}" does not exist.`);
    await this.#registry.read();
    return [...missing, ...unequalTopics(topology, counts), ...unboundTypes(topology, this.#registry)];
  }

  async depth(queue: Queue): Promise<Depth> {
    const topics = [...workTopics(queue), deadName(queue.name)];
    const counts = await this.#known(topics);
    await this.#registry.read();
    const delays = new Set(delayTopics(queue.name));
    const dead = placesOf([deadName(queue.name)], counts);
    const work = placesOf(workTopics(queue), counts);
    const [ready, delayed, deadLettered] = await Promise.all([
      this.#backlog.count(
        queue.name,
        work.filter(({ topic }) => !delays.has(topic)),
        this.#registry.beginnings(queue),
      ),
      this.#backlog.countDelayed(
        queue.name,
        work.filter(({ topic }) => delays.has(topic)),
      ),
      this.#backlog.count(deadName(queue.name), dead, new Map()),
    ]);
    return { ready: ready + delayed.due, delayed: delayed.notDue, deadLettered };
  }

  async purge(queue: Queue, lane: Lane): Promise<void> {
    const { admin } = this.#client;
    const dead = deadName(queue.name);
    const own = lane === 'dead' ? [dead] : ownTopics(queue.name).filter((topic) => topic !== dead);
    const counts = await this.#known(lane === 'dead' ? own : workTopics(queue));
    await admin.deleteBefore(withOffset(await admin.offsets(placesOf(own, counts), 'end')));
    if (lane === 'dead') return;
    // Topics are others' too: the group passes over what is there.
    const shared = placesOf([...new Set(queue.bindings.map(({ topic }) => topic.name))], counts);
    const ends = withOffset(await admin.offsets(shared, 'end'));
    try {
      await admin.commit(
        queue.name,
        ends.map((end) => ({ ...end, metadata: '' })),
      );
    } catch (cause) {
      if (!WaybillError.is(cause) || cause.code !== 'LEASE_LOST') throw cause;
      const problem = `Could not purge what queue "${queue.name}" has in topics: its consumers run.`;
      throw new WaybillError('CONFLICT', `${problem} Close them first.`, { cause });
    }
  }

  async #known(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const counts = await this.#client.admin.partitions(topics);
    const missing = topics.find((topic) => !counts.has(topic));
    if (missing === undefined) return counts;
    throw new WaybillError('NOT_FOUND', `Topic "${missing}" does not exist. Apply the topology.`);
  }

  /** Retention that deletes what nobody has handled yet would lose it without a word. */
  async #checkSettings({ queues }: Topology, counts: ReadonlyMap<string, number>): Promise<void> {
    const existing = queues.flatMap(({ name }) => ownTopics(name)).filter((topic) => counts.has(topic));
    if (existing.length === 0) return;
    const configs = await this.#client.admin.config(existing, Object.keys(CHECKED)).catch((error: WaybillError) => {
      if (error.code === 'PERMISSION_DENIED') return undefined;
      throw error;
    });
    const problems: string[] = [];
    for (const [topic, config] of configs ?? []) {
      for (const [name, wanted] of Object.entries(CHECKED)) {
        const found = config.get(name);
        if (found === undefined || found === wanted) continue;
        problems.push(`Topic "${topic}" has ${name} ${found}, and must have ${wanted}: it would lose messages.`);
      }
    }
    refuse(problems);
  }

  async #bind({ queues }: Topology, counts: ReadonlyMap<string, number>): Promise<readonly string[]> {
    const wanted = queues.flatMap(({ name: queue, bindings }) =>
      bindings.flatMap(({ topic, types }) => types.map((type) => ({ queue, topic: topic.name, type }))),
    );
    const missing = wanted.filter(({ queue, topic, type }) => {
      const bound = this.#registry.find(queue, topic, type);
      return bound === undefined || bound.since.length < (counts.get(topic) ?? 0);
    });
    if (missing.length === 0) return [];
    const topics = [...new Set(missing.map(({ topic }) => topic))];
    const ends = await this.#client.admin.offsets(placesOf(topics, counts), 'end');
    const bindings = missing.map((binding): Bound => ({ ...binding, since: this.#since(binding, ends, counts) }));
    await this.#registry.write(bindings);
    await this.#registry.read();
    return missing.map(({ queue, topic, type }) => `Bound queue "${queue}" to "${type}" of topic "${topic}".`);
  }

  /** New partitions of a topic that was bound before are read from their beginning. */
  #since(
    { queue, topic, type }: { readonly queue: string; readonly topic: string; readonly type: string },
    ends: ReadonlyMap<string, number>,
    counts: ReadonlyMap<string, number>,
  ): readonly number[] {
    const before = this.#registry.find(queue, topic, type)?.since;
    return Array.from({ length: counts.get(topic) ?? 0 }, (_, partition) => {
      const end = ends.get(placeName({ topic, partition })) ?? 0;
      return before === undefined ? end : (before[partition] ?? 0);
    });
  }
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new WaybillError('CONFLICT', problems.join(' '));
}

export function placesOf(topics: readonly string[], counts: ReadonlyMap<string, number>): readonly Place[] {
  return topics.flatMap((topic) =>
    Array.from({ length: counts.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
  );
}

function withOffset(offsets: ReadonlyMap<string, number>): (Place & { readonly offset: number })[] {
  return [...offsets].map(([name, offset]) => {
    const at = name.lastIndexOf('/');
    return { topic: name.slice(0, at), partition: Number(name.slice(at + 1)), offset };
  });
}
