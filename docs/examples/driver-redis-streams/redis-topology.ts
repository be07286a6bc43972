import { type Admin, deadName, type Topology } from '@waybill/core/driver';
import type { RedisConnection } from './redis-connection.ts';
import { nameOf } from './redis-message.ts';
import { COUNT, PURGE, TOPOLOGY } from './redis-scripts.ts';

/** What must be there, and where: a member of a set, or a stream. */
type Part = readonly [what: string, key: string, member: string];

export interface RedisTopology extends Admin {
  verify(topology: Topology): Promise<readonly string[]>;
}

export function redisTopology(connection: RedisConnection): RedisTopology {
  const missing = async (topology: Topology, mode: 'create' | 'verify'): Promise<readonly string[]> => {
    const parts = partsOf(topology);
    const args = [mode, ...parts.flatMap(([, ...place]) => place)];
    const indexes = await connection.run<number[]>('look after topics and queues', TOPOLOGY, args);
    return indexes.map((index) => String(parts[index]?.[0]));
  };
  const count = (lane: string): Promise<number[]> => connection.run(`count "${lane}"`, COUNT, [lane]);

  return {
    apply: async (topology) => (await missing(topology, 'create')).map((what) => `Created ${what}.`),
    verify: async (topology) => (await missing(topology, 'verify')).map((what) => `There is no ${what}.`),
    async depth({ name }) {
      const [held = 0, free = 0, stored = 0, delayed = 0, due = 0] = await count(name);
      const [, , deadLettered = 0] = await count(deadName(name));
      return { ready: stored - held + free + due, inFlight: held - free, delayed: delayed - due, deadLettered };
    },
    // What is handed out is lost to its holder.
    purge: ({ name: queue }, lane) => connection.run(`purge "${queue}"`, PURGE, [nameOf({ queue, lane })]),
  };
}

function partsOf({ topics, queues }: Topology): readonly Part[] {
  return [
    ...topics.map(({ name }): Part => [`topic "${name}"`, 'waybill:topics', name]),
    ...queues.flatMap(({ name, bindings }) => [
      ...[name, deadName(name)].map((lane): Part => [`queue "${lane}"`, `waybill:queue:${lane}`, '']),
      ...bindings.flatMap(({ topic, types }) => types.map((type) => bound(name, topic.name, type))),
    ]),
  ];
}

function bound(queue: string, topic: string, type: string): Part {
  return [`binding of queue "${queue}" to topic "${topic}" for ${type}`, `waybill:bound:${topic}:${type}`, queue];
}
