import { freePort } from './free-port.ts';
import { LocalContainer } from './local-container.ts';
import { type ClusterContainers, createNetwork, startTogether } from './network.ts';
import { nodeHost, rabbitmqEnvironment, rabbitmqFiles } from './rabbitmq-settings.ts';

/** The containers and the ports of each. */
export interface StartedRabbitmq extends ClusterContainers {
  readonly ports: readonly NodePorts[];
}

interface NodePorts {
  readonly amqp: number;
  /** Published with the management plugin only. */
  readonly management: number;
}

/** Starts the nodes of one broker side by side. Readiness is the caller's affair. Removes all of them when one fails. */
export async function startRabbitmqContainers(
  image: string,
  nodes: number,
  management: boolean,
): Promise<StartedRabbitmq> {
  const ports = await choosePorts(nodes);
  const network = nodes === 1 ? {} : { networkId: await createNetwork('rabbitmq') };
  const starts = ports.map(({ amqp, management: http }, index) => {
    const container = new LocalContainer(image)
      .withExposedPorts({ container: 5672, host: amqp }, ...(management ? [{ container: 15_672, host: http }] : []))
      .withEnvironment(rabbitmqEnvironment(nodes))
      .withCopyContentToContainer(rabbitmqFiles(nodes, management));
    return onNetwork(container, network, nodeHost(index + 1)).startDetached();
  });
  return { ports, ...(await startTogether(starts, network)) };
}

function onNetwork(
  container: LocalContainer,
  { networkId }: Pick<ClusterContainers, 'networkId'>,
  host: string,
): LocalContainer {
  if (networkId === undefined) return container;
  return container.withNetworkMode(networkId).withNetworkAliases(host).withHostname(host);
}

async function choosePorts(nodes: number): Promise<readonly NodePorts[]> {
  const ports = new Set<number>();
  while (ports.size < 2 * nodes) {
    ports.add(await freePort());
  }
  const left = [...ports];
  return Array.from({ length: nodes }, () => ({ amqp: left.pop() ?? 0, management: left.pop() ?? 0 }));
}
