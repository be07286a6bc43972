import { connect } from 'amqplib';
import { afterAll, beforeAll, expect } from 'vitest';

import { eventually, type Rabbitmq, startRabbitmq } from '../src/index.ts';
import { openClient, publish } from './client.ts';
import { containerTest } from './shared.ts';

let broker: Rabbitmq;

beforeAll(async () => {
  broker = await startRabbitmq({ management: true });
});

afterAll(async () => {
  await broker.stop().catch(() => {});
});

containerTest('a confirmed message survives kill and start on the same port', async () => {
  const client = await openClient(broker.url);
  await broker.saveQueues();
  await publish(client, 'survives');
  await broker.kill();
  expect(await client.closed).toBe('Unexpected close');
  await expect(connect(broker.url)).rejects.toThrow('ECONNREFUSED');
  await broker.start();
  const { channel } = await openClient(broker.url);
  const message = await eventually(async () => await channel.get(client.queue, { noAck: true }));
  expect(message).toMatchObject({ content: Buffer.from('survives') });
});

containerTest('restart ends the broker in good order', async () => {
  const client = await openClient(broker.url);
  await broker.restart();
  expect(await client.closed).toMatch(/CONNECTION_FORCED/);
  await publish(await openClient(broker.url), 'after');
});

containerTest('a paused broker keeps connections and answers after it is unpaused', async () => {
  const client = await openClient(broker.url);
  await broker.pause();
  const confirmed = publish(client, 'waits');
  await expect(eventually(() => confirmed, { withinMs: 500 })).rejects.toThrow('did not end');
  await broker.unpause();
  await confirmed;
});

containerTest('blocked publishers hear of it and get their confirms when it is lifted', async () => {
  const client = await openClient(broker.url);
  const heard: string[] = [];
  client.model.on('blocked', () => heard.push('blocked'));
  client.model.on('unblocked', () => heard.push('unblocked'));
  await broker.blockPublishers(true);
  const confirmed = publish(client, 'waits');
  await eventually(() => expect(heard).toEqual(['blocked']));
  await expect(eventually(() => confirmed, { withinMs: 300 })).rejects.toThrow('did not end');
  await broker.blockPublishers(false);
  await confirmed;
  await eventually(() => expect(heard).toEqual(['blocked', 'unblocked']));
});

containerTest('the management plugin answers with the credentials of the URL', async () => {
  const { username, password } = new URL(broker.url);
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const overview = await eventually(async () => {
    const response = await fetch(`${broker.managementUrl}/api/overview`, {
      headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
    });
    return { status: response.status, body: await response.text() };
  });
  expect(overview).toMatchObject({ status: 200 });
});

containerTest('stop removes a broker, also one that is paused', async () => {
  await broker.pause();
  await broker.stop();
  await expect(broker.exec(['true'])).rejects.toThrow('No such container');
});
