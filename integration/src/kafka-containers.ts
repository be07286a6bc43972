import type { Certificate } from './certificate.ts';
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
import { type ClusterContainers, createNetwork, startTogether } from './network.ts';

/** The port of each listener of each node, and the containers. */
export interface StartedKafka extends ClusterContainers {
  readonly published: readonly ReadonlyMap<KafkaListener, number>[];
}

/** Starts the nodes of one cluster side by side. Readiness is the caller's affair. Removes all of them when one fails. */
export async function startKafkaContainers(
  image: string,
  count: number,
  certificate: Certificate | undefined,
): Promise<StartedKafka> {
  const published = await choosePorts(count, certificate !== undefined);
  const network = count === 1 ? {} : { networkId: await createNetwork('kafka') };
  const starts = published.map((ports, index) =>
    nodeContainer(image, { id: index + 1, of: count, published: ports, certificate }, network).startDetached(),
  );
  return { published, ...(await startTogether(starts, network)) };
}

/** The version of the distribution in a container. */
export async function kafkaVersionIn(containerId: string): Promise<string> {
  const jars = await controlContainer(containerId).exec(['ls', '/opt/kafka/libs']);
  return /^kafka_[\d.]+-(\d[\w.-]*)\.jar$/m.exec(jars)?.[1] ?? 'unknown';
}

function nodeContainer(
  image: string,
  settings: NodeSettings,
  { networkId }: Pick<ClusterContainers, 'networkId'>,
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

async function choosePorts(count: number, secured: boolean): Promise<ReadonlyMap<KafkaListener, number>[]> {
  const listeners: readonly KafkaListener[] = secured ? ['CLIENT', 'SASL', 'TLS', 'SASLTLS'] : ['CLIENT'];
  const ports = new Set<number>();
  while (ports.size < count * listeners.length) {
    ports.add(await freePort());
  }
  const left = [...ports];
  return Array.from({ length: count }, () => new Map(listeners.map((listener) => [listener, left.pop() ?? 0])));
}
