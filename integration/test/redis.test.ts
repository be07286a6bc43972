import { Redis } from 'ioredis';
import { afterEach, expect, onTestFinished, vi } from 'vitest';

import { startRedis } from '../src/index.ts';
import { redisTest } from './shared.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

async function ask<T>(url: string, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: null });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    client.disconnect();
  }
}

redisTest('a Redis that is killed comes back with what it answered for', async () => {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  expect(server.version).toMatch(/^\d+\.\d+\.\d+/);
  await ask(server.url, (client) => client.set('name', 'value'));
  await server.kill();
  await expect(ask(server.url, (client) => client.get('name'))).rejects.toThrow('Connection is closed');
  await server.start();
  expect(await ask(server.url, (client) => client.get('name'))).toBe('value');
});

redisTest('a Redis given by URL is taken as it is and refuses faults that need a container', async () => {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  vi.stubEnv('WAYBILL_REDIS_URL', server.url);
  const given = await startRedis();
  expect(given.descriptor).toEqual({ url: server.url, version: server.version });
  await expect(given.kill()).rejects.toThrow('unset WAYBILL_REDIS_URL');
  await given.stop();
});
