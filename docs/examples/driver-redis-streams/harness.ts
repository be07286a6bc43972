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
  readonly toxiproxy?: ToxiproxyServer;
}

const CONTAINERS: Harness['faults'] = ['cut', 'blackHole', 'delay', 'loseConfirms', 'pause', 'kill', 'start'];
const ALWAYS: Harness['faults'] = ['refuseDeadLane', 'kill-process', 'freeze-process', 'wrong-password'];
/** A Redis that runs already; nothing is put in front of it, and it is not killed. */
const given = process.env['WAYBILL_REDIS_URL'];
const password = given === undefined ? redisPassword : decodeURIComponent(new URL(given).password);
const isGiven = 'the server is given by WAYBILL_REDIS_URL';

let running: Promise<Running> | undefined;

/** A real Redis behind a proxy, with every fault for real. It is started by the first scenario. */
export const harness: Harness = {
  name: 'redis-streams',
  version: async () => (await start()).server.version,
  faults: given === undefined ? [...CONTAINERS, ...ALWAYS] : ALWAYS,
  without: Object.fromEntries(CONTAINERS.map((fault) => [fault, isGiven])),
  depthWithinMs: 35_000,
  secrets: [password, encodeURIComponent(password)].filter((word) => word !== ''),
  async open() {
    const { server, toxiproxy } = await start();
    return openSession(server, toxiproxy && (await startProxy(toxiproxy.descriptor, server.url)));
  },
  async close() {
    const { server, toxiproxy } = (await running) ?? {};
    await Promise.allSettled([server?.stop(), toxiproxy?.stop()]);
  },
};

function start(): Promise<Running> {
  const progress = printProgress();
  running ??=
    given === undefined
      ? Promise.all([startRedis(progress), startToxiproxy(progress)]).then(([server, toxiproxy]) => ({
          server,
          toxiproxy,
        }))
      : startRedis(progress).then((server) => ({ server }));
  return running;
}

function openSession(server: RedisServer, proxy: Proxy | undefined): Session {
  const options = { url: proxy?.url ?? server.url };
  return {
    createDriver: (settings = {}) => createDriver(options, settings),
    // Beside this file, compiled or not.
    worker: { url: import.meta.url.replace('harness', 'create-driver'), options },
    faults: {
      ...(proxy === undefined ? {} : faultsOf(server, proxy)),
      refuseDeadLane: ({ name }, on) => withClient(server.url, (client) => refuse(client, deadName(name), on)),
    },
    async close(prefix) {
      await proxy?.close();
      await withClient(server.url, (client) => remove(client, prefix));
    },
  };
}

function faultsOf(server: RedisServer, proxy: Proxy): Session['faults'] {
  return {
    cut: () => proxy.cut(),
    blackHole: (on) => proxy.blackHole(on),
    delay: (ms) => proxy.latency(ms),
    loseConfirms: (on) => proxy.loseAnswers(on),
    pause: (on) => (on ? server.pause() : server.unpause()),
    kill: () => server.kill(),
    start: () => server.start(),
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

/** Nothing can be appended to a string. */
async function refuse(client: Redis, lane: string, on: boolean): Promise<void> {
  const stream = `waybill:queue:${lane}`;
  const change = client.multi().del(stream);
  await (on ? change.set(stream, 'refused') : change.xgroup('CREATE', stream, 'waybill', '0', 'MKSTREAM')).exec();
}

async function remove(client: Redis, prefix: string): Promise<void> {
  const keys = await client.keys(`waybill:*:${prefix}.*`);
  const topics = (await client.smembers('waybill:topics')).filter((name) => name.startsWith(`${prefix}.`));
  if (keys.length > 0) await client.del(...keys);
  if (topics.length > 0) await client.srem('waybill:topics', ...topics);
}
