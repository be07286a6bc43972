import {
  ServiceBusAdministrationClient,
  ServiceBusClient,
  type ServiceBusClientOptions,
  type ServiceBusReceivedMessage,
  type ServiceBusReceiver,
  type ServiceBusSender,
} from '@azure/service-bus';
import { onTestFinished } from 'vitest';

import { listen, type Standin, type StandinOptions } from '../../src/service-bus-standin/index.ts';

export const policy = {
  name: 'RootManageSharedAccessKey',
  key: 'a/secret+key=',
  claims: ['Manage', 'Send', 'Listen'],
} as const;

/** One in this process, which ends with the test file. */
export async function openStandin(options: Partial<StandinOptions> = {}): Promise<Standin> {
  return await listen({
    access: { policies: [policy], bearerTokens: [] },
    port: 0,
    managementPort: 0,
    maxMessageSize: 262_144,
    idleTimeoutMs: 240_000,
    ...options,
  });
}

export function connectionString(port: number, name: string = policy.name, key: string = policy.key): string {
  return `Endpoint=sb://127.0.0.1:${port};SharedAccessKeyName=${name};SharedAccessKey=${key};UseDevelopmentEmulator=true;`;
}

/** Tries nothing twice, so that a test sees what the stand-in said. */
export const once: ServiceBusClientOptions = { retryOptions: { maxRetries: 0, timeoutInMs: 3000 } };

/** A client that is closed after the test. */
export function connect(text: string, options: ServiceBusClientOptions = once): ServiceBusClient {
  const client = new ServiceBusClient(text, options);
  onTestFinished(() => client.close());
  return client;
}

interface Sending {
  sendRequest(request: { url: string; allowInsecureConnection?: boolean }): Promise<unknown>;
}

/** An administration client whose requests go to the stand-in: it knows nothing but HTTPS. */
export function administer(port: number, text: string): ServiceBusAdministrationClient {
  const client = new ServiceBusAdministrationClient(text);
  const sending = client as unknown as Sending;
  const send = sending.sendRequest.bind(client);
  sending.sendRequest = (request) => {
    const { pathname, search } = new URL(request.url);
    request.url = `http://127.0.0.1:${port}${pathname}${search}`;
    request.allowInsecureConnection = true;
    return send(request);
  };
  return client;
}

/** The client renews locks by itself otherwise. */
export const noRenewal = { maxAutoLockRenewalDurationInMs: 0 };

let names = 0;

export function newName(what: string): string {
  names += 1;
  return `${what}-${names}`;
}

/** A queue with a client on it. */
export interface QueueSetup {
  readonly name: string;
  readonly client: ServiceBusClient;
  readonly sender: ServiceBusSender;
  readonly receiver: ServiceBusReceiver;
  readonly deadLetters: ServiceBusReceiver;
}

export function setUpQueue(standin: Standin, properties: Readonly<Record<string, string>> = {}): QueueSetup {
  const name = newName('queue');
  standin.namespace.createQueue(name, properties);
  const client = connect(connectionString(standin.port));
  return {
    name,
    client,
    sender: client.createSender(name),
    receiver: client.createReceiver(name, noRenewal),
    deadLetters: client.createReceiver(name, { ...noRenewal, subQueueType: 'deadLetter' }),
  };
}

/** Rejects when none comes. */
export async function receiveOne(receiver: ServiceBusReceiver, withinMs = 3000): Promise<ServiceBusReceivedMessage> {
  const [message] = await receiver.receiveMessages(1, { maxWaitTimeInMs: withinMs });
  if (message === undefined) {
    throw new Error(`No message within ${withinMs} ms.`);
  }
  return message;
}

/** Bodies of what is there, up to a number and as long as it takes for those to come. */
export async function receiveBodies(receiver: ServiceBusReceiver, count: number, withinMs = 3000): Promise<unknown[]> {
  const bodies: unknown[] = [];
  const deadline = Date.now() + withinMs;
  while (bodies.length < count && Date.now() < deadline) {
    const messages = await receiver.receiveMessages(count - bodies.length, { maxWaitTimeInMs: deadline - Date.now() });
    bodies.push(...messages.map(({ body }) => body as unknown));
  }
  return bodies;
}

/** The code of what a promise rejects with, or that it did not. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => 'resolved',
    (error: unknown) => (error as { code?: unknown }).code ?? error,
  );
}
