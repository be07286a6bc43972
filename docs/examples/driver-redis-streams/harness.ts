import type { Harness, Session } from '@waybill/conformance';
import { deadName } from '@waybill/core/driver';
import {
  printProgress,
  type Proxy,
  redisPassword,
  type RedisServer,
  startProxy,
  startRedis,
  startToxiproxy,
  type ToxiproxyServer,
} from '@waybill/integration';
import { Redis } from 'ioredis';
import { createDriver } from './create-driver.ts';

interface Running {
  readonly server: RedisServer;
  readonly toxiproxy: ToxiproxyServer;
}

let running: Promise<Running> | undefined;

/** A real Redis behind a proxy, with every fault for real. It is started by the first scenario. */
export const harness: Harness = {
  name: 'redis-streams',
  version: async () => (await start()).server.version,
  faults: [
    'cut',
    'blackHole',
    'delay',
    'loseConfirms',
    'pause',
    'kill',
    'start',
    'refuseDeadLane',
    'kill-process',
    'freeze-process',
    'wrong-password',
  ],
  depthWithinMs: 35_000,
  secrets: [redisPassword, encodeURIComponent(redisPassword)],
  async open() {
    const { server, toxiproxy } = await start();
    return openSession(server, await startProxy(toxiproxy.descriptor, server.url));
  },
  async close() {
    if (running === undefined) return;
    const { server, toxiproxy } = await running;
    await Promise.allSettled([server.stop(), toxiproxy.stop()]);
  },
};

function start(): Promise<Running> {
  running ??= (async () => {
    const progress = printProgress();
    const [server, toxiproxy] = await Promise.all([startRedis(progress), startToxiproxy(progress)]);
    return { server, toxiproxy };
  })();
  return running;
}

function openSession(server: RedisServer, proxy: Proxy): Session {
  const options = { url: proxy.url };
  return {
    createDriver: (settings = {}) => createDriver(options, settings),
    worker: { url: new URL('./create-driver.js', import.meta.url).href, options },
    faults: {
      cut: () => proxy.cut(),
      blackHole: (on) => proxy.blackHole(on),
      delay: (ms) => proxy.latency(ms),
      loseConfirms: (on) => proxy.loseAnswers(on),
      pause: (on) => (on ? server.pause() : server.unpause()),
      kill: () => server.kill(),
      start: () => server.start(),
      refuseDeadLane: ({ name }, on) =>
        withClient(server.url, async (client) => {
          const stream = `waybill:queue:${deadName(name)}`;
          const change = client.multi().del(stream);
          // Nothing can be appended to a string.
          await (
            on ? change.set(stream, 'refused') : change.xgroup('CREATE', stream, 'waybill', '0', 'MKSTREAM')
          ).exec();
        }),
    },
    async close(prefix) {
      await proxy.close();
      if (prefix !== '') await withClient(server.url, (client) => remove(client, prefix));
    },
  };
}

async function withClient(url: string, work: (client: Redis) => Promise<void>): Promise<void> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: null, socketTimeout: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await work(client);
  } finally {
    client.disconnect();
  }
}

async function remove(client: Redis, prefix: string): Promise<void> {
  const keys = await client.keys(`waybill:*:${prefix}.*`);
  const topics = (await client.smembers('waybill:topics')).filter((name) => name.startsWith(`${prefix}.`));
  if (keys.length > 0) await client.del(...keys);
  if (topics.length > 0) await client.srem('waybill:topics', ...topics);
}
