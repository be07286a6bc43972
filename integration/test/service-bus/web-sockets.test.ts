import type { Topology } from '@waybill/core/driver';
import type { ServiceBusDriver } from '@waybill/service-bus';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';

import { type OwnServiceBusStandin, startServiceBusStandin } from '../../src/service-bus-standin.ts';
import {
  afterwards,
  consume,
  eventually,
  idOf,
  message,
  settleAll,
  several,
  signal,
  start,
  take,
  unique,
  work,
} from './kit.ts';

let broker: OwnServiceBusStandin;
beforeAll(async () => {
  broker = await startServiceBusStandin({ tls: true });
});
afterAll(() => broker.stop());

/** A driver that reaches the broker by nothing but WebSockets. */
function overWebSockets(): ServiceBusDriver {
  const { port, webSocketPort, ca } = broker;
  return start(broker, {
    connectionString: broker.connectionString.replace(`:${port}`, `:${webSocketPort}`),
    management: false,
    webSockets: { webSocket: WebSocket, webSocketConstructorOptions: { ca } },
  });
}

interface Place {
  readonly queue: Topology['queues'][number];
  readonly topic: string;
}

async function place(ordered = false): Promise<Place> {
  const topic = { name: unique('topic'), keyed: ordered };
  const name = unique('queue');
  await broker.createQueue(name, { RequiresSession: String(ordered) });
  await broker.createTopic(topic.name);
  await broker.createSubscription(topic.name, name, { ForwardTo: name });
  return { queue: { name, ordered, bindings: [{ topic, types: ['order.placed'] }] }, topic: topic.name };
}

test('what is published over WebSockets is consumed over them, through a topic and in order', async () => {
  const driver = overWebSockets();
  const { queue, topic } = await place(true);
  const ids = Array.from({ length: 50 }, (_, n) => `a-${n}`);
  await driver.send(
    ids.map((id) => message(id, { topic }, { key: 'a' })),
    signal(),
  );
  const consumer = await consume(driver, queue);
  const deliveries = [];
  while (deliveries.length < ids.length) {
    const some = await take(consumer, 1);
    await settleAll(consumer, some);
    deliveries.push(...some);
  }
  expect(deliveries.map(idOf)).toEqual(ids);
});

test('locks are renewed, messages go back and letters are made over WebSockets', async () => {
  const driver = overWebSockets();
  const { queue } = await place();
  await driver.send(several('m', 3, queue), signal());
  const consumer = await consume(driver, queue);
  const [one, two, three] = await take(consumer, 3);
  if (one === undefined || two === undefined || three === undefined) throw new Error('three came');
  expect(Math.min(...(await consumer.extend([one, two])))).toBeGreaterThan(Date.now());
  await settleAll(consumer, [one]);
  await settleAll(consumer, [two], 'release');
  await consumer.settle([{ delivery: three, action: 'reject', reason: 'rejected', headers: {} }]);
  const again = await take(consumer, 1);
  expect(again.map(idOf)).toEqual([idOf(two)]);
  await settleAll(consumer, again);
  const { letters } = await driver.browse(queue, undefined, 10);
  expect(letters.map(idOf)).toEqual([idOf(three)]);
});

test('a WebSocket that is cut is made again, and loses nothing', async () => {
  const driver = overWebSockets();
  const { queue } = await place();
  await driver.send([message('before', work(queue))], signal());
  const consumer = await consume(driver, queue);
  const held = await take(consumer, 1);
  await broker.dropConnections();
  await eventually(() => driver.send([message('after', work(queue))], signal()));
  const others = await take(consumer, 1);
  expect([...held, ...others].map(idOf)).toEqual(['before', 'after']);
  await settleAll(consumer, [...held, ...others]);
});

test('a WebSocket on which nothing is answered is given up after the timeout, and another one goes on', async () => {
  const driver = overWebSockets();
  const { queue } = await place();
  await driver.send([message('before', work(queue))], signal());
  broker.pause();
  afterwards(async () => broker.unpause());
  await expect(driver.send([message('meanwhile', work(queue))], signal(4_000))).rejects.toThrow('did not confirm');
  broker.unpause();
  await eventually(() => driver.send([message('after', work(queue))], signal()));
});
