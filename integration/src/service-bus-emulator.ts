import { randomUUID } from 'node:crypto';

import type { Topology } from '@waybill/core/driver';

import { docker } from './command.ts';
import { type ContainerControl, controlContainer, untilReady } from './container.ts';
import { emulatorConfig } from './emulator-config.ts';
import { freePort } from './free-port.ts';
import { LocalContainer } from './local-container.ts';
import { ownerLabels } from './owner.ts';
import { type Progress, seconds, silent } from './progress.ts';
import {
  emulatorDeliveries,
  managementPort,
  type ServiceBusDescriptor,
  workOnceWithServiceBus,
} from './service-bus-server.ts';

const AMQP_PORT = 5672;
const SQL_NAME = 'mssql';
const CONFIG_FILE = '/ServiceBus_Emulator/ConfigFiles/Config.json';
/** It is the same everywhere. */
const ACCESS = 'SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE';
/** SQL Server takes its time. */
const READY_WITHIN_MS = 180_000;

export interface ServiceBusEmulatorOptions {
  /** Of Microsoft for the emulator and for SQL Server, without which it does not run. There is no default. */
  readonly acceptLicense: true;
  readonly images: { readonly emulator: string; readonly sql: string };
  /** What is there at its start; more can be made while it runs. */
  readonly topology?: Topology;
  readonly progress?: Progress;
}

/** Microsoft's emulator in a container. It keeps nothing through an end: `pause` is the fault that it has. */
export interface ServiceBusEmulator
  extends Required<ServiceBusDescriptor>, Pick<ContainerControl, 'pause' | 'stop' | 'unpause'> {}

/** Starts one with its SQL Server on a network of their own. Resolves once a message went through a queue. */
export async function startServiceBusEmulator(options: ServiceBusEmulatorOptions): Promise<ServiceBusEmulator> {
  const { images, progress = silent } = options;
  const startedAt = Date.now();
  const networkId = await createNetwork();
  const containers: ContainerControl[] = [];
  const stop = async (): Promise<void> => {
    for (const container of containers.toReversed()) {
      await container.stop();
    }
    await docker('network', 'rm', networkId);
  };
  try {
    const password = `Sa1!${randomUUID()}`;
    const sql = await startSql(images.sql, networkId, password);
    containers.push(controlContainer(sql));
    await untilReady(sql, () => hasRecovered(sql), READY_WITHIN_MS);
    const ports = { amqp: await freePort(), management: await freePort() };
    const id = await emulatorContainer(options, ports)
      .withNetworkMode(networkId)
      .withEnvironment({ ACCEPT_EULA: 'Y', SQL_SERVER: SQL_NAME, SQL_WAIT_INTERVAL: '0', MSSQL_SA_PASSWORD: password })
      .startDetached();
    const emulator = controlContainer(id);
    containers.push(emulator);
    const server = descriptorFor(images.emulator, ports);
    await untilReady(id, () => isHealthy(ports.management), READY_WITHIN_MS);
    await untilReady(id, () => workOnceWithServiceBus(server));
    progress(`broker: Service Bus ${server.version} works after ${seconds(Date.now() - startedAt)}`);
    return { ...server, pause: () => emulator.pause(), unpause: () => emulator.unpause(), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Ports {
  readonly amqp: number;
  readonly management: number;
}

function descriptorFor(image: string, ports: Ports): Required<ServiceBusDescriptor> {
  const tag = /:([^/:@]+)(?:@|$)/.exec(image)?.[1] ?? 'unknown';
  return {
    connectionString: `Endpoint=sb://127.0.0.1:${ports.amqp};${ACCESS};UseDevelopmentEmulator=true;`,
    managementUrl: `http://127.0.0.1:${ports.management}`,
    version: `emulator ${tag}`,
    maxDeliveries: emulatorDeliveries,
  };
}

function emulatorContainer({ images, topology }: ServiceBusEmulatorOptions, ports: Ports): LocalContainer {
  const config = emulatorConfig(topology ?? { topics: [], queues: [] });
  const container = new LocalContainer(images.emulator);
  container
    .withExposedPorts({ container: AMQP_PORT, host: ports.amqp }, { container: managementPort, host: ports.management })
    .withCopyContentToContainer([{ target: CONFIG_FILE, content: JSON.stringify(config), mode: 0o644 }]);
  return container;
}

async function startSql(image: string, networkId: string, password: string): Promise<string> {
  return await new LocalContainer(image)
    .withNetworkMode(networkId)
    .withNetworkAliases(SQL_NAME)
    .withEnvironment({ ACCEPT_EULA: 'Y', MSSQL_SA_PASSWORD: password })
    .startDetached();
}

async function createNetwork(): Promise<string> {
  const labels = Object.entries(ownerLabels()).flatMap(([name, value]) => ['--label', `${name}=${value}`]);
  return await docker('network', 'create', ...labels, `waybill-service-bus-${randomUUID()}`);
}

async function hasRecovered(id: string): Promise<void> {
  if (!(await docker('logs', id)).includes('Recovery is complete')) {
    throw new Error('SQL Server has not recovered yet.');
  }
}

async function isHealthy(port: number): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(5_000) });
  if (!answer.ok) {
    throw new Error(`The emulator says ${answer.status}: ${await answer.text()}`);
  }
}
