import type { Topology } from '@waybill/core/driver';
import { deadName } from '@waybill/core/driver';
import type { Admin } from 'kafkajs';
import { eventually } from '../eventually.ts';
import { withAdmin } from '../kafka-client.ts';
import type { Progress } from '../progress.ts';
import { sweepTraces, type Trace } from './traces.ts';

/** Whether a name of a topic or a group is one to remove. */
export type IsOurs = (name: string) => boolean;

/** What a topology is made of on Kafka; a queue stands for all its topics and groups. */
export function tracesOf(brokers: readonly string[], { topics, queues }: Topology): readonly Trace[] {
  const broker = placeOf(brokers);
  return [
    ...queues.map(({ name }) => ({ broker, kind: 'queue', name })),
    ...topics.map(({ name }) => ({ broker, kind: 'topic', name })),
  ];
}

/** The addresses of a cluster, in whatever order they were given. */
export function placeOf(brokers: readonly string[]): string {
  return brokers.toSorted().join(',');
}

/** Removes what runs that crashed left on a cluster that outlived them. */
export async function sweepKafka(brokers: readonly string[], progress: Progress): Promise<void> {
  const swept = await sweepTraces(placeOf(brokers), (traces) => removeAll(brokers, madeOf(traces)));
  if (swept.length > 0) progress(`sweep: removed ${swept.length} queues and topics of dead runs`);
}

/** Removes topics and groups, also groups whose members have died and are waited for. */
export async function removeAll(brokers: readonly string[], isOurs: IsOurs): Promise<void> {
  const options = { withinMs: 60_000, everyMs: 500 };
  await eventually(async () => (await removeIdle(brokers, isOurs)).length === 0, options);
}

/** Removes topics and groups; resolves with the groups that still have members, dead ones included, and so stay. */
export function removeIdle(brokers: readonly string[], isOurs: IsOurs): Promise<readonly string[]> {
  // For seconds after a node has died kafkajs may still ask it, and then fails without asking another one.
  return eventually(() => withAdmin(brokers, (admin) => remove(admin, isOurs)), { withinMs: 20_000, everyMs: 200 });
}

async function remove(admin: Admin, isOurs: IsOurs): Promise<readonly string[]> {
  const topics = (await admin.listTopics()).filter(isOurs);
  if (topics.length > 0) await admin.deleteTopics({ topics });
  const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId).filter(isOurs);
  if (groups.length === 0) return [];
  const described = (await admin.describeGroups(groups)).groups;
  const busy = described.filter(({ members }) => members.length > 0).map(({ groupId }) => groupId);
  const idle = groups.filter((group) => !busy.includes(group));
  if (idle.length > 0) await admin.deleteGroups(idle);
  return busy;
}

function madeOf(traces: readonly Trace[]): IsOurs {
  const topics = new Set(traces.filter(({ kind }) => kind === 'topic').map(({ name }) => name));
  const queues = traces.filter(({ kind }) => kind === 'queue').map(({ name }) => name);
  return (name) =>
    topics.has(name) ||
    queues.some((queue) => name === queue || name === deadName(queue) || name.startsWith(`${queue}.delay.`));
}
