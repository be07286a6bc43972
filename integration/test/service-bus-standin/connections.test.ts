import { setTimeout as sleep } from 'node:timers/promises';

import rhea from 'rhea';
import type { Connection } from 'rhea';
import { expect, onTestFinished, test } from 'vitest';

import { eventually } from '../../src/eventually.ts';
import { codeOf, connect, connectionString, openStandin } from './kit.ts';

test('a quiet client is kept by its heartbeats', async () => {
  const standin = await openStandin({ idleTimeoutMs: 600 });
  onTestFinished(() => standin.close());
  standin.namespace.createQueue('q');
  const sender = connect(connectionString(standin.port)).createSender('q');
  await sender.sendMessages({ body: 1 });
  await sleep(2500);
  expect(standin.amqp.connectionCount).toBe(1);
  await sender.sendMessages({ body: 2 });
});

test('a client from which nothing comes is let go', async () => {
  const standin = await openStandin({ idleTimeoutMs: 100 });
  onTestFinished(() => standin.close());
  const container = rhea.create_container({ non_fatal_errors: [] });
  const errors: unknown[] = [];
  container.on('connection_error', ({ connection }: { connection: Connection }) => errors.push(connection.error));
  container.on('disconnected', () => {});
  const connection = container.connect({ host: '127.0.0.1', port: standin.port, username: 'x', reconnect: false });
  await eventually(() => connection.is_open());
  // Heartbeats of its own: rhea starts none while it believes that one is on its way.
  const silent = connection as unknown as { heartbeat_out: NodeJS.Timeout | number };
  clearTimeout(silent.heartbeat_out);
  silent.heartbeat_out = 1;
  await eventually(() => standin.amqp.connectionCount === 0);
  expect(errors).toMatchObject([{ condition: 'amqp:resource-limit-exceeded' }]);
});

test('a port that is taken is told', async () => {
  const standin = await openStandin();
  onTestFinished(() => standin.close());
  expect(await codeOf(openStandin({ port: standin.port }))).toBe('EADDRINUSE');
});

test('after it is closed neither port answers', async () => {
  const standin = await openStandin();
  standin.namespace.createQueue('q');
  standin.close();
  for (const port of [standin.port, standin.managementPort]) {
    await expect(fetch(`http://127.0.0.1:${port}/q`)).rejects.toThrow('fetch failed');
  }
});
