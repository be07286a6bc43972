import type { Topology } from '@waybill/core/driver';
import type { Progress } from '../progress.ts';
import { administrationOf, hostOf, type ServiceBusDescriptor } from '../service-bus-server.ts';
import { sweepTraces, type Trace } from './traces.ts';

/** What a topology is made of; subscriptions go with their topics. */
export function tracesOf(connectionString: string, { topics, queues }: Topology): readonly Trace[] {
  const broker = hostOf(connectionString);
  return [
    ...queues.map(({ name }) => ({ broker, kind: 'queue', name })),
    ...topics.map(({ name }) => ({ broker, kind: 'topic', name })),
  ];
}

/** Removes what runs that crashed left in a namespace that outlived them. */
export async function sweepServiceBus(server: ServiceBusDescriptor, progress: Progress): Promise<void> {
  const swept = await sweepTraces(hostOf(server.connectionString), async (traces) => {
    const names = new Set(traces.map(({ name }) => name.toLowerCase()));
    await removeAll(server, (name) => names.has(name.toLowerCase()));
  });
  if (swept.length > 0) progress(`sweep: removed ${swept.length} queues and topics of dead runs`);
}

/** Removes topics and queues whose names are ours. */
export async function removeAll(server: ServiceBusDescriptor, isOurs: (name: string) => boolean): Promise<void> {
  const client = administrationOf(server);
  const topics = (await namesOf(client.listTopics())).filter(isOurs);
  const queues = (await namesOf(client.listQueues())).filter(isOurs);
  for (const name of topics) await unlessGone(client.deleteTopic(name));
  for (const name of queues) await unlessGone(client.deleteQueue(name));
}

async function namesOf(entities: AsyncIterable<{ readonly name: string }>): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of entities) names.push(name);
  return names;
}

/** Another run may sweep at the same time. */
async function unlessGone(removing: Promise<unknown>): Promise<void> {
  try {
    await removing;
  } catch (error) {
    if ((error as { readonly statusCode?: number }).statusCode !== 404) throw error;
  }
}
