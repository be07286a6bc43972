import { type Harness, type Session, wrapDriver } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
import { deadName, type Queue, type Topology } from '@waybill/core/driver';
import { connect } from 'amqplib';
import type { Proxy } from '../proxy.ts';
import { startProxy } from '../proxy.ts';
import { type Rabbitmq, startRabbitmq } from '../rabbitmq.ts';
import { rabbitmqPassword, type RabbitmqVersion } from '../rabbitmq-settings.ts';
import { printProgress } from '../progress.ts';
import { startToxiproxy, type ToxiproxyServer } from '../toxiproxy.ts';
import { createDriver } from './rabbitmq-driver.ts';

interface Running {
  readonly broker: Rabbitmq;
  readonly toxiproxy: ToxiproxyServer;
}

/** A real RabbitMQ of that version, with every fault for real. It is started by the first scenario. */
export function rabbitmqHarness(version: RabbitmqVersion): Harness {
  let running: Promise<Running> | undefined;
  const start = (): Promise<Running> => {
    running ??= startBoth(version);
    return running;
  };
  return {
    name: 'rabbitmq',
    version: async () => (await start()).broker.version,
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
    parallel: 6,
    depthWithinMs: 30_000,
    secrets: [rabbitmqPassword, encodeURIComponent(rabbitmqPassword)],
    async open() {
      const { broker, toxiproxy } = await start();
      return new RabbitmqSession(broker, await startProxy(toxiproxy.descriptor, broker.url));
    },
    async close() {
      if (running === undefined) return;
      const { broker, toxiproxy } = await running;
      await Promise.allSettled([broker.stop(), toxiproxy.stop()]);
    },
  };
}

async function startBoth(version: RabbitmqVersion): Promise<Running> {
  const progress = printProgress();
  const [broker, toxiproxy] = await Promise.all([startRabbitmq({ version, progress }), startToxiproxy(progress)]);
  return { broker, toxiproxy };
}

class RabbitmqSession implements Session {
  readonly #broker: Rabbitmq;
  readonly #proxy: Proxy;
  readonly #topologies: Topology[] = [];
  readonly worker: NonNullable<Session['worker']>;
  readonly faults: Session['faults'];

  constructor(broker: Rabbitmq, proxy: Proxy) {
    this.#broker = broker;
    this.#proxy = proxy;
    this.worker = { url: new URL('./rabbitmq-driver.js', import.meta.url).href, options: { url: proxy.url } };
    this.faults = {
      cut: () => proxy.cut(),
      blackHole: (on) => proxy.blackHole(on),
      delay: (ms) => proxy.latency(ms),
      loseConfirms: (on) => proxy.loseAnswers(on),
      pause: (on) => (on ? broker.pause() : broker.unpause()),
      kill: async () => {
        // What was declared a moment ago would come back empty.
        await broker.saveQueues();
        await broker.kill();
      },
      start: () => broker.start(),
      refuseDeadLane: (queue, on) => this.#refuseDeadLane(queue, on),
    };
  }

  createDriver(settings: Parameters<Session['createDriver']>[0] = {}): Driver {
    const driver = createDriver(this.worker.options, settings);
    const { admin } = driver;
    if (admin === undefined) return driver;
    // What is made through the session is removed with it.
    return wrapDriver(driver, {
      admin: {
        apply: (topology, signal) => {
          this.#topologies.push(topology);
          return admin.apply(topology, signal);
        },
        depth: (queue) => admin.depth(queue),
        purge: (queue, lane) => admin.purge(queue, lane),
      },
    });
  }

  async close(): Promise<void> {
    await this.#proxy.close();
    const connection = await connect(this.#broker.url);
    try {
      for (const { topics, queues } of this.#topologies) {
        for (const { name } of queues) await remove(connection, [name, deadName(name)], []);
        await remove(
          connection,
          [],
          topics.map(({ name }) => name),
        );
      }
    } finally {
      await connection.close();
    }
  }

  async #refuseDeadLane(queue: Queue, on: boolean): Promise<void> {
    const connection = await connect(this.#broker.url);
    try {
      if (on) await remove(connection, [deadName(queue.name)], []);
    } finally {
      await connection.close();
    }
    if (on) return;
    const driver = createDriver({ url: this.#broker.url }, {});
    await driver.admin?.apply(
      { topics: queue.bindings.map(({ topic }) => topic), queues: [queue] },
      new AbortController().signal,
    );
    await driver.close(Date.now() + 2_000);
  }
}

async function remove(
  connection: Awaited<ReturnType<typeof connect>>,
  queues: readonly string[],
  exchanges: readonly string[],
): Promise<void> {
  const channel = await connection.createChannel();
  for (const queue of queues) await channel.deleteQueue(queue);
  for (const exchange of exchanges) await channel.deleteExchange(exchange);
  await channel.close();
}
