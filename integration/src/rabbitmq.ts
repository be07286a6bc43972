import { connect } from 'amqplib';

import { type ContainerControl, controlContainer, faultRefused, untilReady, withoutContainer } from './container.ts';
import { ensureEngine } from './engine.ts';
import { eventually } from './eventually.ts';
import { resolveImage } from './images.ts';
import { removeCluster } from './network.ts';
import { type Progress, seconds, silent } from './progress.ts';
import { type StartedRabbitmq, startRabbitmqContainers } from './rabbitmq-containers.ts';
import {
  friendsOf,
  nodeName,
  rabbitmqUrl,
  type RabbitmqVersion,
  rabbitmqVersions,
  strangersTo,
} from './rabbitmq-settings.ts';
import { setting } from './setting.ts';
import { sweepLeftovers } from './sweep.ts';

const GIVEN_BY = 'WAYBILL_RABBITMQ_URL and WAYBILL_RABBITMQ_OLD_URL';

export interface RabbitmqOptions {
  /** @default 'current' */
  readonly version?: RabbitmqVersion;
  /** Three have a member of every quorum queue each, and a message is stored once two have it. @default 1 */
  readonly nodes?: 1 | 3;
  /** Enables the management plugin and its HTTP port. @default false */
  readonly management?: boolean;
  readonly progress?: Progress;
}

/** What another process needs to reach the same broker; plain data. */
export interface RabbitmqDescriptor {
  /** One per node. */
  readonly urls: readonly string[];
  /** As the broker tells it, such as `4.3.6`. */
  readonly version: string;
  /** Of the first node, without credentials, which are those of `urls`. */
  readonly managementUrl?: string;
  /** In the order of {@link urls}; empty for a broker that was given by URL. */
  readonly containerIds: readonly string[];
  /** Of a cluster of more than one node. */
  readonly networkId?: string;
}

/** One node and its faults. `start` and `restart` resolve once it has a part in every quorum queue again. */
export interface RabbitmqNode extends ContainerControl {
  /** As the broker names it; {@link Rabbitmq.leaderOf} does too. */
  readonly name: string;
  readonly url: string;
  /** On: this node and the others hear nothing of each other, and clients reach all. Off resolves once it takes part again. */
  cutOff(on: boolean): Promise<void>;
}

/**
 * A real broker and its faults, which all nodes have at the same time; `exec` runs on the first. `start` and `restart`
 * resolve once it takes connections again, on the same ports.
 */
export interface Rabbitmq extends RabbitmqDescriptor, ContainerControl {
  readonly descriptor: RabbitmqDescriptor;
  /** Of the first node. */
  readonly url: string;
  /** In the order of {@link urls}. */
  readonly nodes: readonly RabbitmqNode[];
  /** Resolves with the node that leads a quorum queue, once one does. */
  leaderOf(queue: string): Promise<RabbitmqNode>;
  /** Raises or lifts the broker's memory alarm, which stops every connection that publishes, on all nodes. */
  blockPublishers(on: boolean): Promise<void>;
  /** Writes to disk which quorum queues there are. One declared less than about a second before {@link kill} comes back empty. */
  saveQueues(): Promise<void>;
}

/**
 * Starts a RabbitMQ of that version, with engine and image when they are missing. Resolves once it takes connections.
 * Starts nothing when `WAYBILL_RABBITMQ_URL` (for `old`: `WAYBILL_RABBITMQ_OLD_URL`) is set; faults then reject.
 */
export async function startRabbitmq(options: RabbitmqOptions = {}): Promise<Rabbitmq> {
  const { version = 'current', nodes = 1, management = false, progress = silent } = options;
  const { image, urlSetting } = rabbitmqVersions[version];
  const url = setting(urlSetting);
  if (url !== undefined) {
    progress(`broker: RabbitMQ of ${urlSetting}, no container`);
    return attachRabbitmq({ urls: [url], version: await rabbitmqVersionAt(url), containerIds: [] });
  }
  await ensureEngine(progress);
  await sweepLeftovers(progress);
  const { name } = await resolveImage(image, progress);
  const startedAt = Date.now();
  const started = await startRabbitmqContainers(name, nodes, management);
  const broker = await readyOrRemoved(started, management);
  const what = `RabbitMQ ${broker.version}${nodes === 1 ? '' : ` with ${nodes} nodes`}`;
  progress(`broker: ${what} takes connections after ${seconds(Date.now() - startedAt)}`);
  return broker;
}

/** Reaches a broker that another process started. Resolves at once; nothing is checked. */
export function attachRabbitmq(descriptor: RabbitmqDescriptor): Rabbitmq {
  const nodes = descriptor.urls.map((_, index) => controlNode(descriptor, index));
  const [first] = nodes;
  if (first === undefined) throw new Error('A broker has at least one node.');
  const all = async (fault: (node: RabbitmqNode) => Promise<unknown>): Promise<void> =>
    void (await Promise.all(nodes.map(fault)));
  return {
    ...descriptor,
    descriptor,
    url: first.url,
    nodes,
    kill: () => all((node) => node.kill()),
    start: () => all((node) => node.start()),
    restart: () => all((node) => node.restart()),
    pause: () => all((node) => node.pause()),
    unpause: () => all((node) => node.unpause()),
    exec: (command) => first.exec(command),
    stop: () => removeCluster(descriptor),
    leaderOf: (queue) => eventually(() => leaderAmong(nodes, queue), { withinMs: 30_000, everyMs: 200 }),
    blockPublishers: async (on) => {
      await first.exec(['rabbitmqctl', 'set_vm_memory_high_watermark', on ? '0' : '0.6']);
    },
    // Names of quorum queues are in a DETS table that saves itself after 500 ms without a write. A queue that is not in
    // it starts as a new member after a crash (`name_not_registered` in the log), whatever was confirmed. Seen on 4.0.5
    // and 4.3.6; the same warning is in https://github.com/rabbitmq/rabbitmq-server/issues/15725.
    saveQueues: () =>
      all((node) => node.exec(['rabbitmqctl', 'eval', '[ok = dets:sync(Table) || Table <- dets:all()].'])),
  };
}

/** Connects once and resolves with the version that the broker tells. */
export async function rabbitmqVersionAt(url: string): Promise<string> {
  const model = await connect(url, { timeout: 5_000 });
  model.on('error', () => {});
  const { version } = model.connection.serverProperties;
  await model.close();
  return version;
}

async function readyOrRemoved(started: StartedRabbitmq, management: boolean): Promise<Rabbitmq> {
  const { ports, ...containers } = started;
  const urls = ports.map(({ amqp }) => rabbitmqUrl(amqp));
  const managementUrl = management ? { managementUrl: `http://127.0.0.1:${ports[0]?.management}` } : {};
  try {
    const ready = containers.containerIds.map((id, index) => takesPart(id, urls[index] ?? '', urls.length));
    const [version = 'unknown'] = await Promise.all(ready);
    return attachRabbitmq({ urls, version, ...managementUrl, ...containers });
  } catch (error) {
    await removeCluster(containers);
    throw error;
  }
}

function controlNode({ urls, containerIds }: RabbitmqDescriptor, index: number): RabbitmqNode {
  const node = { name: nodeName(index + 1), url: urls[index] ?? '' };
  const containerId = containerIds[index];
  if (containerId === undefined) {
    return { ...node, ...withoutContainer(GIVEN_BY), cutOff: faultRefused(GIVEN_BY) };
  }
  const control = controlContainer(containerId);
  const ready = async (): Promise<void> => void (await takesPart(containerId, node.url, urls.length));
  const others = urls.map((_, each) => nodeName(each + 1)).filter((name) => name !== node.name);
  return {
    ...control,
    ...node,
    start: () => control.start().then(ready),
    restart: () => control.restart().then(ready),
    cutOff: async (on) => {
      await control.exec(['rabbitmqctl', 'eval', on ? strangersTo(others) : friendsOf(others)]);
      if (!on) await ready();
    },
  };
}

/** Resolves with the version of a node, once it takes connections and the others have it as one of so many. */
async function takesPart(containerId: string, url: string, nodes: number): Promise<string> {
  const control = controlContainer(containerId);
  return await untilReady(containerId, async () => {
    const version = await rabbitmqVersionAt(url);
    if (nodes === 1) return version;
    const { running_nodes: running } = JSON.parse(
      await control.exec(['rabbitmqctl', '--quiet', 'cluster_status', '--formatter', 'json']),
    ) as { readonly running_nodes: readonly string[] };
    if (running.length !== nodes) throw new Error(`The node sees ${running.length} of ${nodes}.`);
    await control.exec(['rabbitmq-upgrade', '--quiet', '--timeout', '5', 'await_online_quorum_plus_one']);
    return version;
  });
}

interface Member {
  readonly 'Node Name': string;
  readonly 'Raft State': string;
}

/** What any node that answers says of the members. */
async function leaderAmong(nodes: readonly RabbitmqNode[], queue: string): Promise<RabbitmqNode> {
  const [only] = nodes;
  if (only !== undefined && nodes.length === 1) return only;
  const command = ['rabbitmq-queues', '--quiet', 'quorum_status', '--formatter', 'json', queue];
  const answers = nodes.map(async (node) => JSON.parse(await node.exec(command)) as readonly Member[]);
  const members = await Promise.any(answers);
  const leader = members.find((member) => member['Raft State'] === 'leader')?.['Node Name'];
  const found = nodes.find(({ name }) => name === leader);
  if (found === undefined) throw new Error(`Nobody leads ${queue}.`);
  return found;
}
