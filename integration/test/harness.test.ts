import { expect } from 'vitest';

import { eventually, type Proxy, type ProxyOptions, startProxy } from '../src/index.ts';
import { openClient, publish } from './client.ts';
import { containerTest, sharedOldRabbitmq, sharedRabbitmq, sharedToxiproxy } from './shared.ts';

function proxyToBroker(options?: ProxyOptions): Promise<Proxy> {
  return startProxy(sharedToxiproxy(), sharedRabbitmq().url, options);
}

containerTest('starts RabbitMQ in two versions that tell what they are', async () => {
  const current = sharedRabbitmq();
  const old = sharedOldRabbitmq();
  expect(old.version).toMatch(/^4\.[0-2]\./);
  expect(current.version).toMatch(/^\d+\.\d+\.\d+/);
  expect(current.version).not.toBe(old.version);
  const told = await Promise.all([current, old].map((broker) => broker.exec(['rabbitmqctl', 'version'])));
  expect(told.map((text) => text.split('\n').at(-1))).toEqual([current.version, old.version]);
});

containerTest('confirms a persistent message on both versions', async () => {
  for (const { url } of [sharedRabbitmq(), sharedOldRabbitmq()]) {
    const client = await openClient(url);
    await publish(client, 'hello');
    expect(await client.channel.get(client.queue, { noAck: true })).toMatchObject({ content: Buffer.from('hello') });
  }
});

containerTest('a cut closes the connection and lets the next one through', async () => {
  const proxy = await proxyToBroker();
  const { closed } = await openClient(proxy.url);
  await proxy.cut();
  expect(await closed).toBe('Unexpected close');
  await publish(await openClient(proxy.url), 'after the cut');
  await proxy.close();
});

containerTest('a proxy that closes with reset gives the client ECONNRESET', async () => {
  const proxy = await proxyToBroker({ closesWith: 'reset' });
  const { closed } = await openClient(proxy.url);
  await proxy.cut();
  expect(await closed).toMatch('ECONNRESET');
  await proxy.close();
});

containerTest('a proxy that refuses is not there until that is lifted', async () => {
  const proxy = await proxyToBroker();
  await proxy.refuse(true);
  await expect(openClient(proxy.url)).rejects.toThrow('ECONNREFUSED');
  await proxy.refuse(false);
  await publish(await openClient(proxy.url), 'back');
  await proxy.close();
});

containerTest('a black hole stops confirms and closes the connection when it is lifted', async () => {
  const proxy = await proxyToBroker();
  const client = await openClient(proxy.url);
  await proxy.blackHole(true);
  await expect(eventually(() => publish(client, 'lost'), { withinMs: 500 })).rejects.toThrow('did not end');
  await proxy.blackHole(false);
  await client.closed;
  await publish(await openClient(proxy.url), 'arrives');
  await proxy.close();
});

containerTest('a heartbeat of either side ends a black hole', async () => {
  const proxy = await proxyToBroker();
  const client = await openClient(proxy.url, 1);
  await proxy.blackHole(true);
  expect(await client.closed).toMatch(/heartbeat timeout|unexpected close/i);
  await proxy.close();
});

containerTest('a lost confirm is a message that the broker has stored', async () => {
  const proxy = await proxyToBroker();
  const client = await openClient(proxy.url);
  const direct = await openClient(sharedRabbitmq().url);
  await proxy.loseAnswers(true);
  const unconfirmed = publish(client, 'stored').catch(String);
  await eventually(async () => expect((await direct.channel.checkQueue(client.queue)).messageCount).toBe(1));
  await proxy.cut();
  expect(await unconfirmed).toContain('channel closed');
  await proxy.close();
});

containerTest('limited answers close the connection after so many bytes', async () => {
  const proxy = await proxyToBroker();
  const client = await openClient(proxy.url);
  // A confirm has 21 bytes, and one may stand for several messages.
  await proxy.limitAnswers(10);
  await expect(publish(client, 'half a confirm')).rejects.toThrow('channel closed');
  await client.closed;
  await proxy.close();
});

containerTest('latency delays both directions', async () => {
  const proxy = await proxyToBroker();
  const client = await openClient(proxy.url);
  await proxy.latency(150);
  const startedAt = performance.now();
  await publish(client, 'slow');
  expect(performance.now() - startedAt).toBeGreaterThan(290);
  await proxy.latency(0);
  await proxy.close();
});
