import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { serviceBus } from '@waybill/service-bus';
import { expect, test } from 'vitest';

import { startServiceBusStandin } from '../../src/service-bus-standin.ts';
import {
  afterwards,
  consume,
  eventually,
  failureOf,
  idOf,
  message,
  ownStandin,
  place,
  several,
  signal,
  start,
  take,
  unique,
  work,
} from './kit.ts';

const own = ownStandin();

function bound(types: readonly string[], ordered = false) {
  const topic = { name: unique('topic'), keyed: ordered };
  const queue = { name: unique('queue'), ordered, bindings: [{ topic, types }] };
  return { topics: [topic], queues: [queue] };
}

test('apply says what it made, and nothing the second time', async () => {
  const driver = start(own.broker);
  const topology = bound(['a', 'b']);
  const [topic, queue] = [topology.topics[0]?.name, topology.queues[0]?.name];
  expect(await driver.admin?.apply(topology, signal())).toEqual([
    `Created queue "${queue}".`,
    `Created topic "${topic}".`,
    `Created subscription "${topic}/${queue}".`,
    `Created rule "b" of subscription "${topic}/${queue}".`,
  ]);
  expect(await driver.admin?.apply(topology, signal())).toEqual([]);
});

test('twenty processes apply at the same moment', async () => {
  const topology = bound(['a', 'b', 'c']);
  const drivers = Array.from({ length: 20 }, () => start(own.broker));
  await Promise.all(drivers.map(async (driver) => driver.admin?.apply(topology, signal())));
  expect(await drivers[0]?.verify(topology, signal())).toEqual([]);
});

test('another type is added to a subscription, and none is removed', async () => {
  const driver = start(own.broker);
  const topology = bound(['a']);
  const [queue] = topology.queues;
  const [topic] = topology.topics;
  await driver.admin?.apply(topology, signal());
  const wider = {
    ...topology,
    queues: topology.queues.map((each) => ({
      ...each,
      bindings: each.bindings.map((binding) => ({ ...binding, types: ['b'] })),
    })),
  };
  expect(await driver.admin?.apply(wider, signal())).toHaveLength(1);
  const target = { topic: topic?.name ?? '' };
  await driver.send(
    ['a', 'b', 'c'].map((type) => message(type, target, { type })),
    signal(),
  );
  const consumer = await consume(driver, queue as never);
  expect((await take(consumer, 2)).map(idOf).toSorted()).toEqual(['a', 'b']);
});

test('types of any length and alphabet are told apart', async () => {
  const driver = start(own.broker);
  const types = ['x'.repeat(60), `${'x'.repeat(60)}y`, 'a b/c', 'ä'];
  const topology = bound(types);
  await driver.admin?.apply(topology, signal());
  const target = { topic: topology.topics[0]?.name ?? '' };
  await driver.send(
    [...types, 'ö'].map((type, index) => message(`m${index}`, target, { type })),
    signal(),
  );
  const consumer = await consume(driver, topology.queues[0] as never);
  expect((await take(consumer, 4)).map(idOf).toSorted()).toEqual(['m0', 'm1', 'm2', 'm3']);
});

test('what exists with other settings is a CONFLICT by its name, and is not changed', async () => {
  const driver = start(own.broker);
  const topology = bound(['a']);
  await driver.admin?.apply(topology, signal());
  const ordered = { ...topology, queues: topology.queues.map((queue) => ({ ...queue, ordered: true })) };
  const error = await failureOf(driver.admin?.apply(ordered, signal()) ?? Promise.resolve());
  expect(error.code).toBe('CONFLICT');
  expect(error.message).toContain(topology.queues[0]?.name);
  const other = start(own.broker, { maxDeliveries: 200 });
  expect((await failureOf(other.admin?.apply(topology, signal()) ?? Promise.resolve())).code).toBe('CONFLICT');
  expect(await start(own.broker, { leaseMs: 40_000 }).admin?.apply(topology, signal())).toEqual([]);
});

test('verify names each thing that is missing, and makes none', async () => {
  const driver = start(own.broker);
  const topology = bound(['a']);
  const [topic, queue] = [topology.topics[0]?.name, topology.queues[0]?.name];
  const missing = [
    `Queue "${queue}" is missing.`,
    `Topic "${topic}" is missing.`,
    `Subscription "${topic}/${queue}" is missing.`,
  ];
  expect(await driver.verify(topology, signal())).toEqual(missing);
  expect(await driver.verify(topology, signal())).toEqual(missing);
  await driver.admin?.apply(topology, signal());
  expect(await driver.verify(topology, signal())).toEqual([]);
});

test('depth counts exactly: ready, dead, delayed, and no guess of what is in flight', async () => {
  const driver = start(own.broker);
  const { queue } = await place(driver);
  await driver.send(
    [...several('m', 5, queue), message('late', work(queue), { notBefore: Date.now() + 60_000 })],
    signal(),
  );
  const consumer = await consume(driver, queue, 'work', { maxInFlight: 2 });
  const [first] = await take(consumer, 1);
  await consumer.settle(first === undefined ? [] : [{ delivery: first, action: 'reject', reason: 'no', headers: {} }]);
  await eventually(async () =>
    expect(await driver.admin?.depth(queue)).toEqual({ ready: 4, deadLettered: 1, delayed: 1 }),
  );
});

test('without management rights everything works on what exists', async () => {
  const key = 'data+plane/key=';
  const broker = await startServiceBusStandin({
    access: { policies: [{ name: 'app', key, claims: ['Send', 'Listen'] }] },
  });
  afterwards(() => broker.stop());
  const { queue, topic, topology } = await place(start(broker));
  const connectionString = `Endpoint=sb://127.0.0.1:${broker.port};SharedAccessKeyName=app;SharedAccessKey=${key};UseDevelopmentEmulator=true;`;
  const driver = start(broker, { connectionString, management: false });
  expect(driver.admin).toBeUndefined();
  expect(await driver.verify(topology, signal())).toEqual([]);
  await driver.send([message('one', { topic }), message('two', work(queue))], signal());
  const consumer = await consume(driver, queue);
  const deliveries = await take(consumer, 2);
  await consumer.extend(deliveries);
  await consumer.settle(deliveries.map((delivery) => ({ delivery, action: 'reject', reason: 'no', headers: {} })));
  expect((await driver.browse(queue, undefined, 10)).letters).toHaveLength(2);
  const trying = start(broker, { connectionString });
  const refused = await failureOf(trying.admin?.apply(bound(['a']), signal()) ?? Promise.resolve());
  expect(refused.code).toBe('PERMISSION_DENIED');
});

test('a wrong key is PERMISSION_DENIED everywhere, and is in no error', async () => {
  const wrong = 'Wr0ng+Key/with=chars';
  const connectionString = own.broker.connectionString.replace(/SharedAccessKey=[^;]*/, `SharedAccessKey=${wrong}`);
  const driver = serviceBus({ connectionString, managementUrl: own.broker.managementUrl, timeoutMs: 3_000 });
  afterwards(() => driver.close(Date.now() + 1_000));
  const { queue, topology } = await place(start(own.broker));
  const errors = [
    await failureOf(driver.send([message('one', work(queue))], signal())),
    await failureOf(driver.subscribe(queue, 'work', { maxInFlight: 1, onLost: () => undefined })),
    await failureOf(driver.subscribe({ ...queue, ordered: true }, 'work', { maxInFlight: 1, onLost: () => undefined })),
    await failureOf(driver.admin?.apply(topology, signal()) ?? Promise.resolve()),
    await failureOf(driver.verify(topology, signal())),
    await failureOf(driver.browse(queue, undefined, 5)),
  ];
  expect(errors.map(({ code }) => code)).toEqual(errors.map(() => 'PERMISSION_DENIED'));
  for (const error of [...errors, driver]) {
    const text = inspect(error, { depth: 20, showHidden: true });
    expect(text).not.toContain(wrong);
    expect(text).not.toMatch(/sig=[A-Za-z0-9%]/);
  }
});

test('the token of an identity opens a namespace with TLS', async () => {
  const token = 'the-token';
  const broker = await startServiceBusStandin({
    tls: true,
    access: { bearerTokens: [{ token, claims: ['Manage', 'Send', 'Listen'] }] },
  });
  afterwards(() => broker.stop());
  // Only the process as a whole can be told to trust a certificate.
  const certificate = join(await mkdtemp(join(tmpdir(), 'waybill-')), 'ca.pem');
  await writeFile(certificate, broker.ca ?? '');
  const child = fork(
    new URL('with-token.mjs', import.meta.url),
    [`127.0.0.1:${broker.port}`, broker.managementUrl, token],
    {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
    },
  );
  const [answer] = (await once(child, 'message', { signal: signal() })) as [unknown];
  expect(answer).toEqual({ made: 1, id: 'one', ready: 1 });
});
