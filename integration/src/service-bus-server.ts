import { randomUUID } from 'node:crypto';

import { parseServiceBusConnectionString, ServiceBusAdministrationClient, ServiceBusClient } from '@azure/service-bus';

import { setting } from './setting.ts';

const CONNECTION_SETTING = 'WAYBILL_SERVICE_BUS_CONNECTION_STRING';
const MANAGEMENT_SETTING = 'WAYBILL_SERVICE_BUS_MANAGEMENT_URL';
/** Of the emulator, unless it is told another one. */
export const managementPort = 5300;
/** The most that the emulator takes. */
export const emulatorDeliveries = 10;

/** What a message of a fault names. */
export const serviceBusSettings: string = CONNECTION_SETTING;

/** What another process needs to reach the same server; plain data. */
export interface ServiceBusDescriptor {
  /** Of a policy that may manage, send and listen. */
  readonly connectionString: string;
  /** Of management, such as `http://127.0.0.1:5300`; absent: at the namespace, over https. */
  readonly managementUrl?: string;
  /** For reports: `namespace`, `emulator 2.0.1` or `stand-in`; `unknown` for one that was given and is not in Azure. */
  readonly version: string;
  /** Its own limit of deliveries, where that is below the driver's. */
  readonly maxDeliveries?: number;
}

/**
 * The server that the environment gives: a namespace by the connection string of a policy with all rights, or, where it
 * says `UseDevelopmentEmulator=true`, what listens there. Throws without a word of what the setting holds.
 */
export function givenServiceBus(): ServiceBusDescriptor | undefined {
  const connectionString = setting(CONNECTION_SETTING);
  if (connectionString === undefined) {
    return undefined;
  }
  const { hostname } = new URL(`http://${hostOf(connectionString)}`);
  const isEmulator = /;\s*UseDevelopmentEmulator=true\s*(?:;|$)/i.test(connectionString);
  const managementUrl =
    setting(MANAGEMENT_SETTING) ?? (isEmulator ? `http://${hostname}:${managementPort}` : undefined);
  return {
    connectionString,
    ...(managementUrl === undefined ? {} : { managementUrl: managementUrl.replace(/\/+$/, '') }),
    version: isEmulator || managementUrl !== undefined ? 'unknown' : 'namespace',
    ...(isEmulator ? { maxDeliveries: emulatorDeliveries } : {}),
  };
}

/** Host and port, without credentials. */
export function hostOf(connectionString: string): string {
  return partsOf(connectionString).endpoint.replaceAll(/^sb:\/\/|\/.*$/g, '');
}

export function keyOf(connectionString: string): string | undefined {
  const parts = partsOf(connectionString);
  return 'sharedAccessKey' in parts ? parts.sharedAccessKey : undefined;
}

/** A client for entities; also of a server whose management is elsewhere, or without https, which the client does not know. */
export function administrationOf(server: ServiceBusDescriptor): ServiceBusAdministrationClient {
  const { connectionString, managementUrl } = server;
  const client = new ServiceBusAdministrationClient(connectionString);
  if (managementUrl === undefined) {
    return client;
  }
  const send = client.sendRequest.bind(client);
  client.sendRequest = (request) => {
    request.url = request.url.replace(/^https:\/\/[^/]+/, managementUrl);
    request.allowInsecureConnection = managementUrl.startsWith('http:');
    return send(request);
  };
  return client;
}

/** Sends a message through a queue of its own, which it removes. Resolves once all of that has worked. */
export async function workOnceWithServiceBus(server: ServiceBusDescriptor): Promise<void> {
  const name = `waybill-probe-${randomUUID()}`;
  const administration = administrationOf(server);
  const retryOptions = { maxRetries: 0, timeoutInMs: 15_000 };
  const client = new ServiceBusClient(server.connectionString, { retryOptions });
  await administration.createQueue(name);
  try {
    await client.createSender(name).sendMessages({ body: 'probe' });
    const [message] = await client.createReceiver(name).receiveMessages(1, { maxWaitTimeInMs: 10_000 });
    if (message === undefined) {
      throw new Error('What was sent to Service Bus did not come back.');
    }
  } finally {
    await client.close();
    await administration.deleteQueue(name);
  }
}

function partsOf(connectionString: string): ReturnType<typeof parseServiceBusConnectionString> {
  try {
    return parseServiceBusConnectionString(connectionString);
  } catch {
    // The client's own error may quote it.
    throw new Error(
      `${CONNECTION_SETTING} is none of Service Bus: Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…`,
    );
  }
}
