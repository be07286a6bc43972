import { deadName, type Topology } from '@waybill/core/driver';
import type { NewTopic } from './client/port.ts';
import { delayTopics, ownTopic, ownTopics, workTopics } from './kafka-delays.ts';
import type { Settings } from './kafka-options.ts';
import { type KafkaRegistry, REGISTRY } from './kafka-registry.ts';

type Counts = ReadonlyMap<string, number>;

/** Deleted by their one reader, never by time; small segments, so that what is deleted gives its space back. */
const OWN = { 'retention.ms': '-1', 'retention.bytes': '-1', 'cleanup.policy': 'delete', 'segment.bytes': '67108864' };
/** A record's time is when it is due, and brokers refuse times that are an hour ahead. */
const DELAY = {
  ...OWN,
  'message.timestamp.type': 'CreateTime',
  'message.timestamp.after.max.ms': '9223372036854775807',
};
const BINDINGS = { 'cleanup.policy': 'compact', 'retention.ms': '-1' };

/** What would lose messages if it were otherwise. */
export const CHECKED: Readonly<Record<string, string>> = { 'retention.ms': '-1', 'cleanup.policy': 'delete' };

/** Kafka's default of `max.message.bytes`. */
const DEFAULT_MAX_BYTES = 1_048_588;
/** What Kafka adds to a message. */
const OVERHEAD_BYTES = 4_096;

/** Every topic of a topology. */
export function topicsOf({ topics, queues }: Topology): readonly string[] {
  const bound = queues.flatMap(({ bindings }) => bindings.map(({ topic }) => topic.name));
  return [...new Set([...topics.map(({ name }) => name), ...bound, ...queues.flatMap(({ name }) => ownTopics(name))])];
}

/** What is missing of it, as it is to be made. */
export function missingTopics(
  topology: Topology,
  counts: Counts,
  settings: Settings & { readonly replicas: number },
): readonly NewTopic[] {
  const { replicas: replicationFactor, maxMessageBytes } = settings;
  const larger = maxMessageBytes + OVERHEAD_BYTES > DEFAULT_MAX_BYTES;
  const size: Record<string, string> = larger ? { 'max.message.bytes': String(maxMessageBytes + OVERHEAD_BYTES) } : {};
  const configs = new Map<string, Readonly<Record<string, string>>>();
  const single = new Set([REGISTRY]);
  for (const { name } of topology.queues) {
    configs.set(ownTopic(name), OWN);
    configs.set(deadName(name), OWN);
    single.add(deadName(name));
    for (const topic of delayTopics(name)) configs.set(topic, DELAY);
  }
  return [...topicsOf(topology), REGISTRY]
    .filter((topic) => !counts.has(topic))
    .map((topic) => ({
      topic,
      partitions: single.has(topic) ? 1 : (partitionsFor(topic, topology, counts) ?? settings.partitions),
      replicationFactor,
      config: topic === REGISTRY ? BINDINGS : { ...configs.get(topic), ...size },
    }));
}

/** Under an ordered queue all have the same number of partitions: what is there decides. */
function partitionsFor(topic: string, { queues }: Topology, counts: Counts): number | undefined {
  for (const queue of queues) {
    const topics = workTopics(queue);
    if (!queue.ordered || !topics.includes(topic)) continue;
    const known = topics.map((name) => counts.get(name)).find((count) => count !== undefined);
    if (known !== undefined) return known;
  }
  return undefined;
}

/** One sentence for each ordered queue whose keys could meet in two processes. */
export function unequalTopics({ queues }: Topology, counts: Counts): readonly string[] {
  const problems: string[] = [];
  for (const queue of queues) {
    const found = workTopics(queue).flatMap((topic) => {
      const count = counts.get(topic);
      return count === undefined ? [] : [{ topic, count }];
    });
    if (!queue.ordered || new Set(found.map(({ count }) => count)).size < 2) continue;
    const list = found.map(({ topic, count }) => `"${topic}" has ${count}`).join(', ');
    problems.push(`Ordered queue "${queue.name}" needs topics with equal numbers of partitions: ${list}.`);
  }
  return problems;
}

/** What is not bound, one sentence each. */
export function unboundTypes({ queues }: Topology, registry: KafkaRegistry): readonly string[] {
  return queues.flatMap(({ name, bindings }) =>
    bindings.flatMap(({ topic, types }) =>
      types
        .filter((type) => registry.find(name, topic.name, type) === undefined)
        .map((type) => `Queue "${name}" is not bound to "${type}" of topic "${topic.name}".`),
    ),
  );
}

/** One sentence for each topic of an ordered queue that was given more partitions since the queue was bound to it. */
export function grownTopics({ queues }: Topology, registry: KafkaRegistry, counts: Counts): readonly string[] {
  const grown = queues.flatMap(({ name, ordered, bindings }) =>
    bindings.flatMap(({ topic, types }) => {
      const since = Math.max(0, ...types.map((type) => registry.find(name, topic.name, type)?.since.length ?? 0));
      const count = counts.get(topic.name) ?? 0;
      if (!ordered || since === 0 || count <= since) return [];
      const change = `has ${count} partitions, and had ${since} when queue "${name}" was bound to it`;
      return [`Topic "${topic.name}" ${change}: keys moved to others, and the order of what was on its way is lost.`];
    }),
  );
  return [...new Set(grown)];
}
