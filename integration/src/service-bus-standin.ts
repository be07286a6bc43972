import { freePort } from './free-port.ts';
import { type Progress, silent } from './progress.ts';
import type { Command } from './service-bus-standin/control-server.ts';
import type { Access } from './service-bus-standin/index.ts';
import { startWorker, type Worker } from './worker.ts';

const policy = 'RootManageSharedAccessKey';
const key = 'standin-key';
/** Of the process, should nobody stop it. */
const lifeMs = 3_600_000;

export interface ServiceBusStandinOptions {
  readonly progress?: Progress;
  /** Further policies, and tokens of an identity provider, besides the policy of `connectionString`. */
  readonly access?: Partial<Access>;
  /** Of a message or a batch, in bytes. @default 262144 */
  readonly maxMessageSize?: number;
}

/** What another process needs to reach the same stand-in; plain data. */
export interface ServiceBusStandinDescriptor {
  /** Of a policy that may do everything. */
  readonly connectionString: string;
  readonly port: number;
  /** Of management over HTTP, which the client speaks over HTTPS only: see {@link managementUrl}. */
  readonly managementPort: number;
  readonly controlPort: number;
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
  /** Stores the next sends to an entity and cuts the connection in place of each answer. */
  loseAnswers(entity: string, count: number): Promise<void>;
  /** Closes its ports and cuts all connections; messages stay. */
  goDown(): Promise<void>;
  /** Opens its ports again. */
  comeUp(): Promise<void>;
  countConnections(): Promise<number>;
}

/** One whose process this process started, with faults of the process. Messages are gone with it. */
export interface OwnServiceBusStandin extends ServiceBusStandin {
  readonly pid: number;
  /** SIGKILL; resolves once it is gone. */
  kill(): Promise<void>;
  /** Starts it again, empty, on the same ports; resolves once they listen. */
  start(): Promise<void>;
  restart(): Promise<void>;
  /** Freezes it: connections stay open and nothing answers. */
  pause(): void;
  unpause(): void;
  stop(): Promise<void>;
}

/** Starts one on free ports of 127.0.0.1. Resolves once it listens. Ends with this process. */
export async function startServiceBusStandin(options: ServiceBusStandinOptions = {}): Promise<OwnServiceBusStandin> {
  const { progress = silent } = options;
  const ports = { port: await freePort(), managementPort: await freePort(), controlPort: await freePort() };
  const connectionString = `Endpoint=sb://127.0.0.1:${ports.port};SharedAccessKeyName=${policy};SharedAccessKey=${key};UseDevelopmentEmulator=true;`;
  const attached = attachServiceBusStandin({ connectionString, ...ports });
  let worker = await startProcess(attached, options);
  progress(`broker: a stand-in for Azure Service Bus listens on port ${ports.port}`);
  const kill = async (): Promise<void> => void (await worker.kill('SIGKILL'));
  const start = async (): Promise<void> => {
    worker = await startProcess(attached, options);
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
    stop: kill,
  };
}

/** Reaches one that another process started. Resolves at once; nothing is checked. */
export function attachServiceBusStandin(descriptor: ServiceBusStandinDescriptor): ServiceBusStandin {
  const order = async (command: Command): Promise<unknown> => await post(descriptor.controlPort, command);
  const orders = (command: Command): Promise<void> => order(command).then(() => undefined);
  return {
    ...descriptor,
    descriptor,
    managementUrl: `http://127.0.0.1:${descriptor.managementPort}`,
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
    loseAnswers: (entity, count) => orders({ command: 'lose-answers', entity, count }),
    goDown: () => orders({ command: 'down' }),
    comeUp: () => orders({ command: 'up' }),
    countConnections: async () => Number(await order({ command: 'count-connections' })),
  };
}

async function startProcess(
  { port, managementPort, controlPort }: ServiceBusStandinDescriptor,
  options: ServiceBusStandinOptions,
): Promise<Worker> {
  const worker = startWorker(new URL('../dist/service-bus-standin/main.js', import.meta.url), {
    lifeMs,
    args: [
      ...['--port', String(port), '--management-port', String(managementPort), '--control-port', String(controlPort)],
      ...['--access', JSON.stringify(withOwnPolicy(options.access ?? {}))],
      ...(options.maxMessageSize === undefined ? [] : ['--max-message-size', String(options.maxMessageSize)]),
    ],
  });
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
