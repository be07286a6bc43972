import { type Binding, type Queue, type Topic, type Topology, WaybillError } from '@waybill/core/driver';
import type { MemoryBinding, MemoryBroker } from './memory-broker.ts';
import type { HandOutRule } from './memory-lane.ts';
import { MemoryQueue } from './memory-queue.ts';

/** What the creating driver decides about queues, for good. */
export interface QueueFacts {
  readonly rule: HandOutRule;
  readonly filtersTypes: boolean;
  readonly deduplicationMs: number;
}

interface Difference {
  readonly missing: readonly string[];
  readonly conflicts: readonly string[];
}

/** What the broker lacks and what it has otherwise, one sentence each. */
export function compareTopology(broker: MemoryBroker, topology: Topology): Difference {
  const missing: string[] = [];
  const conflicts: string[] = [];
  for (const wanted of allTopics(topology)) {
    const topic = broker.topics.get(wanted.name);
    if (topic === undefined) missing.push(`Topic "${wanted.name}" is missing.`);
    else if (topic.keyed !== wanted.keyed) {
      conflicts.push(`Topic "${wanted.name}" is ${keyedOrNot(topic.keyed)}, not ${keyedOrNot(wanted.keyed)}.`);
    }
  }
  for (const wanted of topology.queues) {
    const queue = broker.queues.get(wanted.name);
    if (queue === undefined) missing.push(`Queue "${wanted.name}" is missing.`);
    else if (queue.ordered !== wanted.ordered) {
      conflicts.push(`Queue "${wanted.name}" is ${orderedOrNot(queue.ordered)}, not ${orderedOrNot(wanted.ordered)}.`);
    }
    for (const binding of wanted.bindings) {
      const types = missingTypes(bindingOf(broker, wanted.name, binding), binding);
      if (types === undefined) continue;
      missing.push(`Queue "${wanted.name}" is not bound to topic "${binding.topic.name}"${types}.`);
    }
  }
  return { missing, conflicts };
}

/** Creates what is missing, one sentence each; throws CONFLICT on a difference, before it creates anything. */
export function applyTopology(broker: MemoryBroker, topology: Topology, facts: QueueFacts): readonly string[] {
  const { conflicts } = compareTopology(broker, topology);
  if (conflicts.length > 0) {
    throw new WaybillError(
      'CONFLICT',
      `${conflicts.join(' ')} It is fixed at creation: use another name, or delete it.`,
    );
  }
  const done: string[] = [];
  for (const topic of allTopics(topology)) {
    if (broker.topics.has(topic.name)) continue;
    broker.topics.set(topic.name, { ...topic, bindings: new Map() });
    done.push(`Created topic "${topic.name}", ${keyedOrNot(topic.keyed)}.`);
  }
  for (const queue of topology.queues) done.push(...applyQueue(broker, queue, facts));
  return done;
}

function applyQueue(broker: MemoryBroker, wanted: Queue, facts: QueueFacts): string[] {
  const done: string[] = [];
  let queue = broker.queues.get(wanted.name);
  if (queue === undefined) {
    const { name, ordered } = wanted;
    const rule = ordered ? facts.rule : 'any';
    queue = new MemoryQueue({ name, ordered, rule, deduplicationMs: facts.deduplicationMs, clock: broker.clock });
    broker.queues.set(name, queue);
    done.push(`Created queue "${name}", ${orderedOrNot(ordered)}.`);
  }
  for (const binding of wanted.bindings) {
    const bound = bindingOf(broker, wanted.name, binding);
    const types = missingTypes(bound, binding);
    if (types === undefined) continue;
    broker.topics.get(binding.topic.name)?.bindings.set(queue, {
      filters: bound?.filters ?? facts.filtersTypes,
      types: new Set([...(bound?.types ?? []), ...binding.types]),
    });
    done.push(`Bound queue "${wanted.name}" to topic "${binding.topic.name}"${types}.`);
  }
  return done;
}

/** Of `types`, those that a queue is bound to. */
export function boundTypes(broker: MemoryBroker, queue: MemoryQueue, types: readonly string[]): readonly string[] {
  const bindings = [...broker.topics.values()].map((topic) => topic.bindings.get(queue));
  return types.filter((type) => bindings.some((binding) => binding?.types.has(type) === true));
}

function bindingOf(broker: MemoryBroker, name: string, binding: Binding): MemoryBinding | undefined {
  const queue = broker.queues.get(name);
  return queue === undefined ? undefined : broker.topics.get(binding.topic.name)?.bindings.get(queue);
}

/** ` for a, b` as far as those are not bound; undefined when nothing is missing. */
function missingTypes(bound: MemoryBinding | undefined, binding: Binding): string | undefined {
  const types = binding.types.filter((type) => bound?.types.has(type) !== true);
  return types.length === 0 ? undefined : ` for ${types.join(', ')}`;
}

function allTopics(topology: Topology): Topic[] {
  const topics = [
    ...topology.topics,
    ...topology.queues.flatMap((queue) => queue.bindings.map((binding) => binding.topic)),
  ];
  return [...new Map(topics.map((topic) => [topic.name, topic])).values()];
}

const keyedOrNot = (keyed: boolean): string => (keyed ? 'keyed' : 'not keyed');
const orderedOrNot = (ordered: boolean): string => (ordered ? 'ordered' : 'not ordered');
