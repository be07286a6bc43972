import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';

import type { Harness } from '@waybill/conformance';
import type { Topology } from '@waybill/core/driver';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';

import { serviceBusHarness } from '../../src/conformance/service-bus-harness.ts';
import { tracesOf } from '../../src/conformance/service-bus-traces.ts';
import { noteTraces } from '../../src/conformance/traces.ts';
import { administrationOf, givenServiceBus } from '../../src/service-bus-server.ts';
import { ownStandin } from './kit.ts';

const NOTHING: Topology = { topics: [], queues: [] };
const NAMESPACE = 'Endpoint=sb://orders.servicebus.windows.net/;SharedAccessKeyName=all;SharedAccessKey=k/e+y=';

const own = ownStandin();

beforeEach(() => {
  give(own.broker.connectionString, own.broker.managementUrl);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

function give(connectionString: string, managementUrl = ''): void {
  vi.stubEnv('WAYBILL_SERVICE_BUS_CONNECTION_STRING', connectionString);
  vi.stubEnv('WAYBILL_SERVICE_BUS_MANAGEMENT_URL', managementUrl);
}

async function givenHarness(): Promise<Harness> {
  const harness = await serviceBusHarness();
  onTestFinished(() => harness.close());
  return harness;
}

/** Queues and topics whose names begin so. */
async function left(prefix: string): Promise<readonly string[]> {
  const client = administrationOf({ ...own.broker, version: '' });
  const names: string[] = [];
  for await (const { name } of client.listQueues()) names.push(name);
  for await (const { name } of client.listTopics()) names.push(name);
  return names.filter((name) => name.startsWith(prefix)).toSorted();
}

test('a namespace is known as one, and needs no address of management', async () => {
  give(NAMESPACE);
  expect(givenServiceBus()).toEqual({ connectionString: NAMESPACE, version: 'namespace' });
  const harness = await givenHarness();
  expect(await harness.version()).toBe('namespace');
  expect(harness.secrets).toEqual(['k/e+y=', 'k%2Fe%2By%3D']);
});

test('what listens where an emulator would is no namespace, and has the limits of an emulator', () => {
  const connectionString =
    'Endpoint=sb://localhost:5673;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;';
  const limits = { version: 'unknown', maxDeliveries: 10 };
  give(connectionString);
  expect(givenServiceBus()).toEqual({ connectionString, managementUrl: 'http://localhost:5300', ...limits });
  give(connectionString, 'http://127.0.0.1:5301/');
  expect(givenServiceBus()).toEqual({ connectionString, managementUrl: 'http://127.0.0.1:5301', ...limits });
});

test('what is no connection string is refused, and not shown', () => {
  give('Endpoint=nowhere;SharedAccessKey=secret');
  expect(() => givenServiceBus()).toThrow(/^WAYBILL_SERVICE_BUS_CONNECTION_STRING is none of Service Bus(?!.*secret)/);
});

test('a server that is given has no faults of network and process', async () => {
  const { faults, without, isolated } = await givenHarness();
  expect(faults).toEqual(['kill-process', 'freeze-process', 'wrong-password']);
  expect(Object.keys(without ?? {}).toSorted()).toEqual(
    ['blackHole', 'cut', 'delay', 'kill', 'loseConfirms', 'pause', 'refuseDeadLane', 'start'].toSorted(),
  );
  expect([without?.kill, isolated]).toEqual([
    'the server is given by WAYBILL_SERVICE_BUS_CONNECTION_STRING',
    undefined,
  ]);
});

test('a scenario removes what it made, and nothing else', async () => {
  const [prefix, other] = [`c${randomUUID()}`, `c${randomUUID()}`];
  const session = await (await givenHarness()).open();
  const driver = session.createDriver();
  onTestFinished(() => driver.close(Date.now() + 1_000));
  for (const name of [prefix, other]) {
    const topic = { name: `${name}.notes`, keyed: false };
    const queue = { name: `${name}.desk`, ordered: false, bindings: [{ topic, types: ['note'] }] };
    await driver.admin?.apply({ topics: [topic], queues: [queue] }, AbortSignal.timeout(5_000));
  }
  await session.close(prefix, NOTHING);
  expect([await left(prefix), await left(other)]).toEqual([[], [`${other}.desk`, `${other}.notes`]]);
});

test('what a run that crashed left is removed by the next one, and nothing else', async () => {
  const prefix = `c${randomUUID()}`;
  const { connectionString } = own.broker;
  for (const name of ['desk', 'desks']) await own.broker.createQueue(`${prefix}.${name}`);
  await own.broker.createTopic(`${prefix}.notes`);
  const { stdout } = await promisify(execFile)(process.execPath, ['--print', 'process.pid']);
  const topology = {
    topics: [{ name: `${prefix}.notes`, keyed: false }],
    queues: [{ name: `${prefix}.desk`, ordered: false, bindings: [] }],
  };
  noteTraces(tracesOf(connectionString, topology), Number(stdout));
  const session = await (await givenHarness()).open();
  expect(await left(prefix)).toEqual([`${prefix}.desks`]);
  await session.close(prefix, NOTHING);
});
