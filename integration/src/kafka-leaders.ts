import type { ContainerControl } from './container.ts';
import { eventually } from './eventually.ts';
import { topicAt, withAdmin } from './kafka-client.ts';
import { innerPort } from './kafka-settings.ts';

interface Partition {
  readonly topic: string;
  readonly partition: number;
}

interface Copies {
  readonly leader: number;
  /** The first one is preferred as leader. */
  readonly replicas: readonly number[];
}

/** Resolves with the id of the node that leads a partition. */
export async function leaderOf(brokers: readonly string[], topic: string, partition: number): Promise<number> {
  return (await copiesOf(brokers, { topic, partition })).leader;
}

/** Has a node lead a partition that it has a copy of; resolves once it does. */
export async function moveLeader(
  brokers: readonly string[],
  place: Partition,
  node: Pick<ContainerControl, 'exec'> & { readonly id: number },
): Promise<void> {
  const { leader, replicas } = await copiesOf(brokers, place);
  if (leader === node.id) {
    return;
  }
  if (!replicas.includes(node.id)) {
    throw new Error(`Node ${node.id} has no copy of partition ${place.partition} of ${place.topic}.`);
  }
  await prefer(brokers, place, [node.id, ...replicas.filter((id) => id !== node.id)]);
  const election = ['--election-type', 'preferred', '--topic', place.topic, '--partition', String(place.partition)];
  const address = ['--bootstrap-server', `localhost:${innerPort}`];
  await node.exec(['/opt/kafka/bin/kafka-leader-election.sh', ...address, ...election]);
  await eventually(async () => (await copiesOf(brokers, place)).leader === node.id);
}

async function prefer(brokers: readonly string[], place: Partition, replicas: number[]): Promise<void> {
  const { topic, partition } = place;
  await eventually(() =>
    withAdmin(brokers, (admin) =>
      admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [{ partition, replicas }] }] }),
    ),
  );
  await eventually(async () => (await copiesOf(brokers, place)).replicas.join(',') === replicas.join(','));
}

// For seconds after a node has died kafkajs may still ask it, and then fails without asking another one.
async function copiesOf(brokers: readonly string[], { topic, partition }: Partition): Promise<Copies> {
  const { partitions } = await eventually(() => withAdmin(brokers, (admin) => topicAt(admin, topic)));
  const found = partitions.find(({ partitionId }) => partitionId === partition);
  if (found === undefined) {
    throw new Error(`${topic} has no partition ${partition}.`);
  }
  return found;
}
