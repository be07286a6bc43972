import { randomUUID } from 'node:crypto';

import { docker } from './command.ts';
import { controlContainer } from './container.ts';
import { ownerLabels } from './owner.ts';

/** What a cluster is made of, also when not all of it was started. */
export interface ClusterContainers {
  readonly containerIds: readonly string[];
  /** Of more than one node. */
  readonly networkId?: string;
}

/** Creates the network of one cluster, on which its nodes find each other by name. Resolves with its id. */
export async function createNetwork(kind: string): Promise<string> {
  const labels = Object.entries(ownerLabels()).flatMap(([name, value]) => ['--label', `${name}=${value}`]);
  return await docker('network', 'create', ...labels, `waybill-${kind}-${randomUUID()}`);
}

/** Starts the nodes of one cluster side by side. Readiness is the caller's affair. Removes all of them when one fails. */
export async function startTogether(
  starts: readonly Promise<string>[],
  network: Pick<ClusterContainers, 'networkId'>,
): Promise<ClusterContainers> {
  const settled = await Promise.allSettled(starts);
  const containerIds = settled.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  const failed = settled.find((start) => start.status === 'rejected');
  if (failed !== undefined) {
    await removeCluster({ containerIds, ...network });
    throw failed.reason;
  }
  return { containerIds, ...network };
}

/** Removes containers with their data, in whatever state they are, and their network. */
export async function removeCluster({ containerIds, networkId }: ClusterContainers): Promise<void> {
  await Promise.all(containerIds.map((id) => controlContainer(id).stop()));
  if (networkId !== undefined) {
    await docker('network', 'rm', networkId);
  }
}
