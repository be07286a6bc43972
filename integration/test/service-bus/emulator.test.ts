import { createBus, defineCommand, defineEvent, defineQueue } from '@waybill/core';
import type { Topology } from '@waybill/core/driver';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { z } from 'zod';

import { emulatorHarness } from '../../src/conformance/service-bus-harness.ts';
import { type EmulatorConfig, emulatorConfig } from '../../src/emulator-config.ts';
import { chooseServiceBus, startServiceBus } from '../../src/service-bus.ts';
import { administrationOf } from '../../src/service-bus-server.ts';
import { eventually, ownStandin, signal, start } from './kit.ts';

const own = ownStandin();

afterEach(() => {
  vi.unstubAllEnvs();
});

const placed = defineEvent('order.placed', z.object({}), { topic: 'orders' }).keyedBy(() => 'key');
const shipped = defineEvent(`parcel.${'very.'.repeat(10)}shipped`, z.object({}), { topic: 'parcels' });
const render = defineCommand('invoice.render', z.object({}));
const billing = defineQueue('billing', { handles: [placed], ordered: true });
const mailer = defineQueue('mailer', { handles: [placed, shipped] });
const invoices = defineQueue('invoices', { handles: [render] });

function topologyOf(prefix = ''): Topology {
  const driver = start(own.broker);
  const bus = createBus({ source: '/test', driver, uses: [billing, mailer, invoices], prefix });
  onTestFinished(() => bus.close({ deadlineMs: 1_000 }));
  return bus.topology();
}

function namespaceOf({ UserConfig }: EmulatorConfig): EmulatorConfig['UserConfig']['Namespaces'][0] {
  return UserConfig.Namespaces[0];
}

test('the configuration has every queue and topic, within the limits of the emulator', () => {
  const { Name, Queues, Topics } = namespaceOf(emulatorConfig(topologyOf(), 10_000));
  expect(Name).toBe('sbemulatorns');
  const locking = { DeadLetteringOnMessageExpiration: true, LockDuration: 'PT10S', MaxDeliveryCount: 10 };
  expect(Queues).toEqual([
    { Name: 'billing', Properties: { ...locking, RequiresSession: true } },
    { Name: 'mailer', Properties: { ...locking, RequiresSession: false } },
    { Name: 'invoices', Properties: { ...locking, RequiresSession: false } },
  ]);
  expect(Topics.map((topic) => [topic.Name, topic.Subscriptions.map((subscription) => subscription.Name)])).toEqual([
    ['orders', ['billing', 'mailer']],
    ['parcels', ['mailer']],
  ]);
  expect(Topics[0]?.Subscriptions[0]).toEqual({
    Name: 'billing',
    Properties: { ...locking, LockDuration: 'PT60S', RequiresSession: false, ForwardTo: 'billing' },
    Rules: [
      {
        Name: 'order.placed',
        Properties: { FilterType: 'Correlation', CorrelationFilter: { Label: 'order.placed' } },
      },
    ],
  });
});

test('a lock that is too long is the longest, and a queue without types gets nothing', () => {
  const topic = { name: 'orders', keyed: false };
  const queues = [{ name: 'idle', ordered: false, bindings: [{ topic, types: [] }] }];
  const { Queues, Topics } = namespaceOf(emulatorConfig({ topics: [], queues }, 600_000));
  expect(Queues[0]?.Properties.LockDuration).toBe('PT300S');
  expect(Topics[0]?.Subscriptions[0]?.Rules).toEqual([
    { Name: 'nothing', Properties: { FilterType: 'Sql', SqlFilter: { SqlExpression: '1=0' } } },
  ]);
});

test('more entities than the emulator takes are refused', () => {
  const queues = Array.from({ length: 51 }, (_, n) => ({ name: `q${n}`, ordered: false, bindings: [] }));
  expect(() => emulatorConfig({ topics: [], queues })).toThrow('takes 50 queues and topics, not 51');
  const topic = { name: 'orders', keyed: false };
  const bound = queues.map((queue) => ({ ...queue, bindings: [{ topic, types: ['a'] }] }));
  expect(() => emulatorConfig({ topics: [], queues: bound })).toThrow('not 52');
});

test('the configuration has what the driver makes, under the same names', async () => {
  const driver = start(own.broker, { maxDeliveries: 10, leaseMs: 60_000 });
  const topology = topologyOf('same');
  await driver.admin?.apply(topology, signal());
  const client = administrationOf({ ...own.broker, version: '' });
  const { Queues, Topics } = namespaceOf(emulatorConfig(topology, 60_000));
  for (const { Name, Properties } of Queues) {
    const { requiresSession, maxDeliveryCount, deadLetteringOnMessageExpiration } = await client.getQueue(Name);
    expect([requiresSession, maxDeliveryCount, deadLetteringOnMessageExpiration]).toEqual([
      Properties.RequiresSession,
      Properties.MaxDeliveryCount,
      Properties.DeadLetteringOnMessageExpiration,
    ]);
  }
  for (const { Name, Subscriptions } of Topics) {
    for (const subscription of Subscriptions) {
      const rules: string[] = [];
      for await (const { name } of client.listRules(Name, subscription.Name)) rules.push(name);
      expect(rules.toSorted()).toEqual(subscription.Rules.map((rule) => rule.Name).toSorted());
      const { forwardTo } = await client.getSubscription(Name, subscription.Name);
      expect(forwardTo?.split('/').at(-1)).toBe(subscription.Properties.ForwardTo);
    }
  }
});

test('without its licence there is no emulator', async () => {
  vi.stubEnv('WAYBILL_SERVICE_BUS_CONNECTION_STRING', '');
  expect(await chooseServiceBus()).toMatchObject({ kind: 'stand-in', why: expect.stringContaining('licence') });
});

test('the emulator comes where both images can be had, else a stand-in that says why', async () => {
  vi.stubEnv('WAYBILL_SERVICE_BUS_CONNECTION_STRING', '');
  vi.stubEnv('WAYBILL_SERVICE_BUS', '');
  const accepted = { acceptLicense: true };
  expect(await chooseServiceBus(accepted, async (kind) => ({ name: `${kind}:1` }))).toEqual({
    kind: 'emulator',
    images: { emulator: 'service-bus-emulator:1', sql: 'service-bus-sql:1' },
  });
  for (const missing of ['service-bus-emulator', 'service-bus-sql']) {
    const pull = async (kind: string): Promise<{ readonly name: string } | { readonly refusal: string }> =>
      kind === missing ? { refusal: `${kind} cannot be pulled: no such host` } : { name: kind };
    expect(await chooseServiceBus(accepted, pull)).toEqual({
      kind: 'stand-in',
      why: `${missing} cannot be pulled: no such host`,
    });
  }
});

test('a stand-in comes where it is asked for', async () => {
  vi.stubEnv('WAYBILL_SERVICE_BUS_CONNECTION_STRING', '');
  vi.stubEnv('WAYBILL_SERVICE_BUS', 'stand-in');
  const server = await startServiceBus({ acceptLicense: true });
  onTestFinished(() => server.stop());
  expect(server).toMatchObject({ kind: 'stand-in', version: 'stand-in' });
});

test('what is given comes before both', async () => {
  vi.stubEnv('WAYBILL_SERVICE_BUS', 'stand-in');
  vi.stubEnv('WAYBILL_SERVICE_BUS_CONNECTION_STRING', own.broker.connectionString);
  vi.stubEnv('WAYBILL_SERVICE_BUS_MANAGEMENT_URL', own.broker.managementUrl);
  const server = await startServiceBus({ acceptLicense: true });
  expect(server).toMatchObject({ kind: 'given', connectionString: own.broker.connectionString });
  await server.stop();
  // It is still there.
  await eventually(async () => expect(await own.broker.countConnections()).toBe(0));
});

test('scenarios run one at a time on the emulator, and none ends it', async () => {
  const nothing = async (): Promise<void> => {};
  const emulator = {
    connectionString: own.broker.connectionString,
    managementUrl: own.broker.managementUrl,
    version: 'emulator 2.0.1',
    maxDeliveries: 10,
    pause: nothing,
    unpause: nothing,
    stop: nothing,
  };
  const { parallel, isolated, faults, without, version } = emulatorHarness(emulator);
  expect(await version()).toBe('emulator 2.0.1');
  expect([parallel, isolated]).toEqual([1, undefined]);
  expect(faults).not.toContain('kill');
  expect(without?.kill).toBe('it keeps nothing through its end');
});
