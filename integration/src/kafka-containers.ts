import { randomUUID } from 'node:crypto';

import type { Certificate } from './certificate.ts';
import { docker } from './command.ts';
import { controlContainer } from './container.ts';
import { freePort } from './free-port.ts';
import {
  kafkaCommand,
  kafkaEnvironment,
  kafkaFiles,
  type KafkaListener,
  listenerPorts,
  nodeName,
  type NodeSettings,
} from './kafka-settings.ts';
import { LocalContainer } from './local-container.ts';
import { ownerLabels } from './owner.ts';

/** What was started so far: also when it is not all. */
export interface KafkaContainers {
  readonly containerIds: readonly string[];
  /** Of more than one node. */
  readonly networkId?: string;
}

/** The port of each listener of each node, and the containers. */
export interface StartedKafka extends KafkaContainers {
  readonly published: readonly ReadonlyMap<KafkaListener, number>[];
}

/** Starts the nodes of one cluster side by side. Readiness is the caller's affair. Removes all of them when one fails. */
export async function startKafkaContainers(
  image: string,
  count: number,
  certificate: Certificate | undefined,
): Promise<StartedKafka> {
  const published = await choosePorts(count, certificate !== undefined);
  const network = count === 1 ? {} : { networkId: await createNetwork() };
  const starts = await Promise.allSettled(
    published.map((ports, index) =>
      nodeContainer(image, { id: index + 1, of: count, published: ports, certificate }, network).startDetached(),
    ),
  );
  const containerIds = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  const failed = starts.find((start) => start.status === 'rejected');
  if (failed !== undefined) {
    await removeKafkaContainers({ containerIds, ...network });
    throw failed.reason;
  }
  return { published, containerIds, ...network };
}

/** Removes containers with their data, in whatever state they are, and their network. */
export async function removeKafkaContainers({ containerIds, networkId }: KafkaContainers): Promise<void> {
  await Promise.all(containerIds.map((id) => controlContainer(id).stop()));
  if (networkId !== undefined) {
    await docker('network', 'rm', networkId);
  }
}

/** The version of the distribution in a container. */
export async function kafkaVersionIn(containerId: string): Promise<string> {
  const jars = await controlContainer(containerId).exec(['ls', '/opt/kafka/libs']);
  return /^kafka_[\d.]+-(\d[\w.-]*)\.jar$/m.exec(jars)?.[1] ?? 'unknown';
}

function nodeContainer(
  image: string,
  settings: NodeSettings,
  { networkId }: Pick<KafkaContainers, 'networkId'>,
): LocalContainer {
  const name = nodeName(settings.id);
  const ports = [...settings.published].map(([listener, host]) => ({ container: listenerPorts[listener], host }));
  const container = new LocalContainer(image)
    .withHostname(name)
    .withExposedPorts(...ports)
    .withEnvironment({ ...kafkaEnvironment })
    .withCopyContentToContainer(kafkaFiles(settings))
    .withCommand(kafkaCommand(settings));
  return networkId === undefined ? container : container.withNetworkMode(networkId).withNetworkAliases(name);
}

async function createNetwork(): Promise<string> {
  const labels = Object.entries(ownerLabels()).flatMap(([name, value]) => ['--label', `${name}=${value}`]);
  return await docker('network', 'create', ...labels, `waybill-kafka-${randomUUID()}`);
}

async function choosePorts(count: number, secured: boolean): Promise<ReadonlyMap<KafkaListener, number>[]> {
  const listeners: readonly KafkaListener[] = secured ? ['CLIENT', 'SASL', 'TLS', 'SASLTLS'] : ['CLIENT'];
  const ports = new Set<number>();
  while (ports.size < count * listeners.length) {
    ports.add(await freePort());
  }
  const left = [...ports];
  return Array.from({ length: count }, () => new Map(listeners.map((listener) => [listener, left.pop() ?? 0])));
}
