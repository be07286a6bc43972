import { type Certificate, makeCertificate } from './certificate.ts';
import { type ContainerControl, controlContainer, untilReady, withoutContainer } from './container.ts';
import { ensureEngine } from './engine.ts';
import { resolveImage } from './images.ts';
import { countNodes, followsAgain, workOnce } from './kafka-client.ts';
import { kafkaVersionIn, type StartedKafka, startKafkaContainers } from './kafka-containers.ts';
import { leaderOf, moveLeader } from './kafka-leaders.ts';
import type { KafkaListener } from './kafka-settings.ts';
import { removeCluster } from './network.ts';
import { type Progress, seconds, silent } from './progress.ts';
import { setting } from './setting.ts';
import { sweepLeftovers } from './sweep.ts';

const BROKERS_SETTING = 'WAYBILL_KAFKA_BROKERS';

export interface KafkaOptions {
  /** Three have every topic on each node, and a message is stored once two have it. @default 1 */
  readonly nodes?: 1 | 3;
  /** `sasl` adds listeners that demand credentials, TLS or both. @default 'plain' */
  readonly security?: 'plain' | 'sasl';
  readonly progress?: Progress;
}

/** What another process needs to reach the same cluster; plain data. Addresses are `host:port`, one per node. */
export interface KafkaDescriptor {
  /** The listener that demands nothing. */
  readonly brokers: readonly string[];
  /** Of the distribution, such as `4.3.1`; `unknown` for a cluster that was given. */
  readonly version: string;
  /** In the order of {@link brokers}; empty for a cluster that was given. */
  readonly containerIds: readonly string[];
  /** Of a cluster of more than one node. */
  readonly networkId?: string;
  readonly secured?: SecuredListeners;
}

/**
 * Mechanisms are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; {@link kafkaUser} may do everything, {@link kafkaGuest} what a
 * test allows it.
 */
export interface SecuredListeners {
  readonly sasl: readonly string[];
  readonly tls: readonly string[];
  readonly saslTls: readonly string[];
  /** The certificate of the nodes, which vouches for itself. */
  readonly ca: string;
}

/** One node and its faults. `start` and `restart` resolve once clients can work through it again. */
export interface KafkaNode extends ContainerControl {
  /** As metadata name it. */
  readonly id: number;
  readonly broker: string;
}

/** A real cluster and its faults. */
export interface Kafka extends KafkaDescriptor {
  readonly descriptor: KafkaDescriptor;
  /** In the order of {@link brokers}; ids start at 1. */
  readonly nodes: readonly KafkaNode[];
  /** Resolves with the id of the node that leads a partition. */
  leaderOf(topic: string, partition: number): Promise<number>;
  /** Has a node lead a partition that it has a copy of; resolves once it does. */
  moveLeader(topic: string, partition: number, node: number): Promise<void>;
  /** Removes all nodes with their data. */
  stop(): Promise<void>;
}

/**
 * Starts a Kafka, with engine and image when they are missing. Resolves once clients can work with it. Starts nothing
 * when `WAYBILL_KAFKA_BROKERS` is set; faults then reject.
 */
export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  const { nodes = 1, security = 'plain', progress = silent } = options;
  const given = setting(BROKERS_SETTING);
  if (given !== undefined) {
    const brokers = given.split(',').map((broker) => broker.trim());
    progress(`broker: Kafka of ${BROKERS_SETTING} with ${await countNodes(brokers)} nodes, no container`);
    return attachKafka({ brokers, version: 'unknown', containerIds: [] });
  }
  await ensureEngine(progress);
  await sweepLeftovers(progress);
  const { name } = await resolveImage('kafka', progress);
  return await startCluster(name, { nodes, security, progress });
}

/** Reaches a cluster that another process started. Resolves at once; nothing is checked. */
export function attachKafka(descriptor: KafkaDescriptor): Kafka {
  const nodes = descriptor.brokers.map((_, index) => controlNode(descriptor, index));
  return {
    ...descriptor,
    descriptor,
    nodes,
    leaderOf: (topic, partition) => leaderOf(descriptor.brokers, topic, partition),
    moveLeader: async (topic, partition, id) => {
      const node = nodes.find((candidate) => candidate.id === id);
      if (node === undefined) {
        throw new Error(`There is no node ${id}.`);
      }
      await moveLeader(descriptor.brokers, { topic, partition }, node);
    },
    stop: () => removeCluster(descriptor),
  };
}

async function startCluster(image: string, options: Required<KafkaOptions>): Promise<Kafka> {
  const startedAt = Date.now();
  const certificate = options.security === 'sasl' ? await makeCertificate() : undefined;
  const started = await startKafkaContainers(image, options.nodes, certificate);
  const { containerIds, networkId } = started;
  const descriptor: Omit<KafkaDescriptor, 'version'> = {
    brokers: addresses(started, 'CLIENT'),
    containerIds,
    ...(networkId === undefined ? {} : { networkId }),
    ...(certificate === undefined ? {} : { secured: securedBy(started, certificate) }),
  };
  try {
    await untilWorking(descriptor);
    const version = await kafkaVersionIn(containerIds[0] ?? '');
    const what = `Kafka ${version} with ${options.nodes} node${options.nodes === 1 ? '' : 's'}`;
    options.progress(`broker: ${what} works after ${seconds(Date.now() - startedAt)}`);
    return attachKafka({ ...descriptor, version });
  } catch (error) {
    await removeCluster(started);
    throw error;
  }
}

function securedBy(started: StartedKafka, { certificate }: Certificate): SecuredListeners {
  return {
    sasl: addresses(started, 'SASL'),
    tls: addresses(started, 'TLS'),
    saslTls: addresses(started, 'SASLTLS'),
    ca: certificate,
  };
}

function addresses({ published }: StartedKafka, listener: KafkaListener): string[] {
  return published.map((ports) => `127.0.0.1:${ports.get(listener)}`);
}

async function untilWorking({ brokers, containerIds }: Omit<KafkaDescriptor, 'version'>): Promise<void> {
  const each = containerIds.map((id, index) => untilReady(id, () => seesAll(brokers[index] ?? '', brokers.length)));
  await Promise.all(each);
  await untilReady(containerIds[0] ?? '', () => workOnce(brokers, brokers.length));
}

async function seesAll(broker: string, nodes: number): Promise<void> {
  const seen = await countNodes([broker]);
  if (seen !== nodes) {
    throw new Error(`The node knows ${seen} of ${nodes}.`);
  }
}

function controlNode({ brokers, containerIds }: KafkaDescriptor, index: number): KafkaNode {
  const id = index + 1;
  const broker = brokers[index] ?? '';
  const containerId = containerIds[index];
  if (containerId === undefined) {
    return { id, broker, ...withoutContainer(BROKERS_SETTING) };
  }
  const control = controlContainer(containerId);
  const ready = (): Promise<void> =>
    untilReady(containerId, async () => {
      await workOnce([broker], brokers.length);
      if (!(await followsAgain([broker], id))) {
        throw new Error(`Node ${id} has not caught up.`);
      }
    });
  return {
    ...control,
    id,
    broker,
    start: () => control.start().then(ready),
    restart: () => control.restart().then(ready),
  };
}
