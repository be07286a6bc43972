import { Redis as Client } from 'ioredis';

import { type ContainerControl, controlContainer, readyOrRemoved, untilReady, withoutContainer } from './container.ts';
import { ensureEngine } from './engine.ts';
import { freePort } from './free-port.ts';
import { resolveImage } from './images.ts';
import { LocalContainer } from './local-container.ts';
import { type Progress, seconds, silent } from './progress.ts';
import { setting } from './setting.ts';
import { sweepLeftovers } from './sweep.ts';

/** Holds what a URL must encode, so that a test for leaked secrets sees two forms. */
export const redisPassword = 'redis@secret/1';

const URL_SETTING = 'WAYBILL_REDIS_URL';

/** What another process needs to reach the same server; plain data. */
export interface RedisDescriptor {
  readonly url: string;
  /** As the server tells it, such as `8.0.2`. */
  readonly version: string;
  /** Absent for a server that was given by URL. */
  readonly containerId?: string;
}

/** A real Redis and its faults. `start` and `restart` resolve once it answers again, on the same port. */
export interface RedisServer extends RedisDescriptor, ContainerControl {
  readonly descriptor: RedisDescriptor;
}

/**
 * Starts a Redis that has on disk what it answered for, with engine and image when they are missing. Resolves once it
 * answers. Starts nothing when `WAYBILL_REDIS_URL` is set; faults then reject.
 */
export async function startRedis(progress: Progress = silent): Promise<RedisServer> {
  const url = setting(URL_SETTING);
  if (url !== undefined) {
    progress(`broker: Redis of ${URL_SETTING}, no container`);
    return attachRedis({ url, version: await redisVersionAt(url) });
  }
  await ensureEngine(progress);
  await sweepLeftovers(progress);
  const { name } = await resolveImage('redis', progress);
  return await startContainer(name, progress);
}

/** Reaches a server that another process started. Resolves at once; nothing is checked. */
function attachRedis(descriptor: RedisDescriptor): RedisServer {
  return { ...descriptor, ...controlServer(descriptor), descriptor };
}

async function startContainer(image: string, progress: Progress): Promise<RedisServer> {
  const startedAt = Date.now();
  const port = await freePort();
  const persistence = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''];
  const containerId = await new LocalContainer(image)
    .withExposedPorts({ container: 6379, host: port })
    .withCommand(['redis-server', '--requirepass', redisPassword, '--protected-mode', 'no', ...persistence])
    .startDetached();
  const url = `redis://:${encodeURIComponent(redisPassword)}@127.0.0.1:${port}`;
  const version = await readyOrRemoved(containerId, () => redisVersionAt(url));
  progress(`broker: Redis ${version} answers after ${seconds(Date.now() - startedAt)}`);
  return attachRedis({ url, version, containerId });
}

/** Connects once and resolves with the version that the server tells. */
async function redisVersionAt(url: string): Promise<string> {
  const client = new Client(url, {
    lazyConnect: true,
    connectTimeout: 5_000,
    socketTimeout: 5_000,
    retryStrategy: null,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return /^redis_version:(\S+)/m.exec(await client.info('server'))?.[1] ?? 'unknown';
  } finally {
    client.disconnect();
  }
}

function controlServer({ url, containerId }: RedisDescriptor): ContainerControl {
  if (containerId === undefined) {
    return withoutContainer(URL_SETTING);
  }
  const control = controlContainer(containerId);
  const ready = async (): Promise<void> => void (await untilReady(containerId, () => redisVersionAt(url)));
  return {
    ...control,
    start: () => control.start().then(ready),
    restart: () => control.restart().then(ready),
  };
}
