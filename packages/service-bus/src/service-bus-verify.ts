import { type Topology, untilAborted } from '@waybill/core/driver';
import Long from 'long';
import type { ServiceBusConnection } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import type { ServiceBusPublisher } from './service-bus-publisher.ts';
import { type Entity, entitiesOf, nameOf, subscriptionPath } from './service-bus-topology.ts';
import { settlerOf } from './settler.ts';

/** Entities that are missing, found with the rights Send and Listen: by attaching to topics, and by a peek into the others. */
export async function verifyTopology(
  topology: Topology,
  { connection, publisher }: { readonly connection: ServiceBusConnection; readonly publisher: ServiceBusPublisher },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const entity of entitiesOf(topology)) {
    const looking = entity.kind === 'topic' ? publisher.look(entity.name) : peek(connection, entity);
    try {
      await untilAborted(looking, signal, `verify ${entity.kind} "${nameOf(entity)}"`);
    } catch (cause) {
      const error = toWaybillError(cause, `verify ${entity.kind} "${nameOf(entity)}"`);
      if (error.code !== 'NOT_FOUND') throw error;
      problems.push(`${KINDS[entity.kind]} "${nameOf(entity)}" is missing.`);
    }
  }
  return problems;
}

const KINDS = { queue: 'Queue', topic: 'Topic', subscription: 'Subscription' } as const;

async function peek(connection: ServiceBusConnection, entity: Entity): Promise<void> {
  const life = connection.life();
  const path = entity.kind === 'subscription' ? subscriptionPath(entity.topic, entity.name) : entity.name;
  const peeking = settlerOf(life, path).peekMessages(1, { fromSequenceNumber: Long.ONE });
  await life.answered(peeking, life.timeoutMs, `look at "${path}"`);
}
