import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { makeCertificate } from './certificate.ts';
import { freePort } from './free-port.ts';
import { type Progress, silent } from './progress.ts';
import type { Command } from './service-bus-standin/control-server.ts';
import type { Access } from './service-bus-standin/index.ts';
import { startWorker, type Worker } from './worker.ts';

const policy = 'RootManageSharedAccessKey';
const key = 'standin-key';
type Ports = Pick<ServiceBusStandinDescriptor, 'controlPort' | 'managementPort' | 'port' | 'webSocketPort'>;

/** Of the process, should nobody stop it. */
const lifeMs = 3_600_000;

export interface ServiceBusStandinOptions {
  readonly progress?: Progress;
  /** Further policies, and tokens of an identity provider, besides the policy of `connectionString`. */
  readonly access?: Partial<Access>;
  /** Of a message or a batch, in bytes. @default 262144 */
  readonly maxMessageSize?: number;
  /** Keeps what is stored in a file, so that it is there again after {@link OwnServiceBusStandin.kill}. @default true */
  readonly durable?: boolean;
  /** Speaks TLS on all ports, with {@link ServiceBusStandin.ca}: the client demands it for tokens of an identity provider and for WebSockets. @default false */
  readonly tls?: boolean;
}

/** What another process needs to reach the same stand-in; plain data. */
export interface ServiceBusStandinDescriptor {
  /** Of a policy that may do everything. */
  readonly connectionString: string;
  readonly port: number;
  /** Of management over HTTP, which the client speaks over HTTPS only: see {@link managementUrl}. */
  readonly managementPort: number;
  readonly controlPort: number;
  /** Of AMQP over WebSockets, where the ports speak TLS. */
  readonly webSocketPort?: number;
  /** Of all ports where they speak TLS: the certificate, which vouches for itself. */
  readonly ca?: string;
}

/** By the names of management, such as `LockDuration`; durations in ISO 8601. */
export type EntityProperties = Readonly<Record<string, string>>;

/** A stand-in for Azure Service Bus in a process of its own, and its faults. */
export interface ServiceBusStandin extends ServiceBusStandinDescriptor {
  readonly descriptor: ServiceBusStandinDescriptor;
  /** Such as `http://127.0.0.1:20001`. */
  readonly managementUrl: string;
  createQueue(name: string, properties?: EntityProperties): Promise<void>;
  createTopic(name: string, properties?: EntityProperties): Promise<void>;
  createSubscription(topic: string, name: string, properties?: EntityProperties): Promise<void>;
  /** Cuts all connections at once. */
  dropConnections(): Promise<void>;
  /** Detaches all links to an entity, as the service does with links that are idle. */
  detachLinks(entity: string): Promise<void>;
  /** Refuses sends to an entity, as full unless told otherwise, until it is called with false. */
  refuseSends(entity: string, on: boolean, condition?: string): Promise<void>;
  /** Answers sends and requests as busy, of these entities or of all; an empty list ends it. */
  throttle(entities: readonly string[] | 'everything'): Promise<void>;
  /** Does what the next sends to an entity, or settlements there, ask for, and cuts the connection in place of each answer. */
  loseAnswers(entity: string, count: number, of?: 'sends' | 'settlements'): Promise<void>;
  /** Closes its ports and cuts all connections; messages stay. */
  goDown(): Promise<void>;
  /** Opens its ports again. */
  comeUp(): Promise<void>;
  countConnections(): Promise<number>;
}

/** One whose process this process started, with faults of the process. */
export interface OwnServiceBusStandin extends ServiceBusStandin {
  readonly pid: number;
  /** SIGKILL; resolves once it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same ports; resolves once they listen. What it had is there again unless it is not durable. */
  start(): Promise<void>;
  restart(): Promise<void>;
  /** Freezes it: connections stay open and nothing answers. */
  pause(): void;
  unpause(): void;
  /** Ends it for good. */
  stop(): Promise<void>;
}

/** Starts one on free ports of 127.0.0.1. Resolves once it listens. Ends with this process. */
export async function startServiceBusStandin(options: ServiceBusStandinOptions = {}): Promise<OwnServiceBusStandin> {
  const { progress = silent, durable = true, tls = false } = options;
  const ports = await choosePorts(tls);
  const certificate = tls ? await makeCertificate() : undefined;
  const attached = attachServiceBusStandin({
    connectionString: connectionStringOf(ports.port, tls),
    ...ports,
    ...(certificate === undefined ? {} : { ca: certificate.certificate }),
  });
  const folder = durable ? await mkdtemp(join(tmpdir(), 'waybill-standin-')) : undefined;
  const args = [
    ...argumentsOf(ports, options),
    ...(folder === undefined ? [] : [`--journal=${join(folder, 'journal')}`]),
  ];
  const launch = (): Promise<Worker> =>
    launchProcess([...args, ...(certificate === undefined ? [] : [`--tls=${JSON.stringify(certificate)}`])]);
  let worker = await launch();
  progress(`broker: a stand-in for Azure Service Bus listens on port ${ports.port}`);
  const kill = async (): Promise<void> => void (await worker.kill('SIGKILL'));
  const start = async (): Promise<void> => {
    worker = await launch();
  };
  return {
    ...attached,
    get pid() {
      return worker.pid;
    },
    kill,
    start,
    restart: () => kill().then(start),
    pause: () => void process.kill(worker.pid, 'SIGSTOP'),
    unpause: () => void process.kill(worker.pid, 'SIGCONT'),
    stop: async () => {
      await kill();
      if (folder !== undefined) {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/** Reaches one that another process started. Resolves at once; nothing is checked. */
export function attachServiceBusStandin(descriptor: ServiceBusStandinDescriptor): ServiceBusStandin {
  const order = async (command: Command): Promise<unknown> => await post(descriptor.controlPort, command);
  const orders = (command: Command): Promise<void> => order(command).then(() => undefined);
  return {
    ...descriptor,
    descriptor,
    managementUrl: `${descriptor.ca === undefined ? 'http' : 'https'}://127.0.0.1:${descriptor.managementPort}`,
    createQueue: (name, properties = {}) => orders({ command: 'create-queue', name, properties }),
    createTopic: (name, properties = {}) => orders({ command: 'create-topic', name, properties }),
    createSubscription: (topic, name, properties = {}) =>
      orders({ command: 'create-subscription', topic, name, properties }),
    dropConnections: () => orders({ command: 'drop-connections' }),
    detachLinks: (entity) => orders({ command: 'detach-links', entity }),
    refuseSends: (entity, on, condition = 'amqp:resource-limit-exceeded') =>
      orders({
        command: 'refuse-sends',
        entity,
        description: 'The maximum entity size has been reached or exceeded.',
        ...(on ? { condition } : {}),
      }),
    throttle: (entities) =>
      orders({ command: 'throttle', entities: entities === 'everything' ? entities : [...entities] }),
    loseAnswers: (entity, count, of = 'sends') => orders({ command: 'lose-answers', entity, count, of }),
    goDown: () => orders({ command: 'down' }),
    comeUp: () => orders({ command: 'up' }),
    countConnections: async () => Number(await order({ command: 'count-connections' })),
  };
}

async function choosePorts(tls: boolean): Promise<Ports> {
  return {
    port: await freePort(),
    managementPort: await freePort(),
    controlPort: await freePort(),
    ...(tls ? { webSocketPort: await freePort() } : {}),
  };
}

function connectionStringOf(port: number, tls: boolean): string {
  const base = `Endpoint=sb://127.0.0.1:${port};SharedAccessKeyName=${policy};SharedAccessKey=${key};`;
  // The client speaks TLS unless it believes that it talks to the emulator.
  return tls ? base : `${base}UseDevelopmentEmulator=true;`;
}

function argumentsOf(ports: Ports, { access = {}, maxMessageSize }: ServiceBusStandinOptions): string[] {
  const { port, managementPort, controlPort, webSocketPort } = ports;
  return [
    `--port=${port}`,
    `--management-port=${managementPort}`,
    `--control-port=${controlPort}`,
    ...(webSocketPort === undefined ? [] : [`--web-socket-port=${webSocketPort}`]),
    `--access=${JSON.stringify(withOwnPolicy(access))}`,
    ...(maxMessageSize === undefined ? [] : [`--max-message-size=${maxMessageSize}`]),
  ];
}

async function launchProcess(args: readonly string[]): Promise<Worker> {
  const worker = startWorker(new URL('../dist/service-bus-standin/main.js', import.meta.url), { lifeMs, args });
  await worker.received((message): message is object => typeof message === 'object' && message !== null);
  return worker;
}

function withOwnPolicy({ policies = [], bearerTokens = [] }: Partial<Access>): Access {
  return { policies: [{ name: policy, key, claims: ['Manage', 'Send', 'Listen'] }, ...policies], bearerTokens };
}

async function post(port: number, command: Command): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: JSON.stringify(command) });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`The stand-in refused ${command.command}: ${text}`);
  }
  return (JSON.parse(text) as { readonly result: unknown }).result;
}
