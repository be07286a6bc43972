import type { Extent, Session } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
import { deadName, type Queue, type Topology } from '@waybill/core/driver';
import { connect } from 'amqplib';
import type { Progress } from '../progress.ts';
import type { Proxies } from '../proxies.ts';
import type { Rabbitmq, RabbitmqNode } from '../rabbitmq.ts';
import type { ToxiproxyServer } from '../toxiproxy.ts';
import { networkFaults, NodeFaults } from './faults.ts';
import { createDriver, type SessionOptions } from './rabbitmq-driver.ts';
import { placeOf, tracesOf } from './rabbitmq-traces.ts';
import { telling } from './telling.ts';
import { sweepTraces, type Trace } from './traces.ts';

/** The broker of a run. Without proxies it is somebody else's. */
export interface Broker {
  readonly rabbitmq: Rabbitmq;
  readonly toxiproxy?: ToxiproxyServer;
  readonly openProxies?: () => Promise<Proxies>;
}

/** One scenario's connections, behind proxies of their own where there are some. */
export class RabbitmqSession implements Session {
  readonly #rabbitmq: Rabbitmq;
  readonly #proxies: Proxies | undefined;
  /** It is removed with the session. */
  readonly #made: Topology[] = [];
  readonly #nodes = new NodeFaults();
  readonly worker: NonNullable<Session['worker']>;
  readonly faults: Session['faults'];

  static async open({ rabbitmq, openProxies }: Broker): Promise<RabbitmqSession> {
    return new RabbitmqSession(rabbitmq, await openProxies?.());
  }

  private constructor(rabbitmq: Rabbitmq, proxies: Proxies | undefined) {
    this.#rabbitmq = rabbitmq;
    this.#proxies = proxies;
    const options: SessionOptions =
      proxies === undefined ? { urls: rabbitmq.urls, runBy: process.pid } : { urls: proxies.urls };
    this.worker = { url: new URL('./rabbitmq-driver.js', import.meta.url).href, options };
    this.faults = {
      ...networkFaults(proxies),
      pause: (on) => (on ? this.#nodes.break(rabbitmq.nodes, 'pause') : this.#nodes.mend()),
      kill: (extent) => this.#kill(extent),
      start: () => this.#nodes.mend(),
      refuseDeadLane: (queue, on) => this.#refuseDeadLane(queue, on),
    };
  }

  createDriver(settings: Parameters<Session['createDriver']>[0] = {}): Driver {
    const driver = createDriver(this.worker.options, settings);
    return telling(driver, (topology) => void this.#made.push(topology));
  }

  async close(_prefix: string, topology: Topology): Promise<void> {
    const { url } = this.#rabbitmq;
    // What a failed scenario broke would fail all that follow.
    await this.#nodes.mend();
    await this.#proxies?.close();
    await remove(
      url,
      [...this.#made, topology].flatMap((made) => tracesOf(url, made)),
    );
  }

  async #kill(extent: Extent = 'broker'): Promise<void> {
    const { nodes } = this.#rabbitmq;
    if (extent === 'node' && nodes.length > 1) {
      // What was declared a moment ago the node forgets, and gets it back from the others.
      return this.#nodes.break([await this.#leader()], 'kill');
    }
    // What was declared a moment ago would come back empty.
    await this.#rabbitmq.saveQueues();
    return this.#nodes.break(nodes, 'kill');
  }

  /** The node that leads a queue of this session. */
  async #leader(): Promise<RabbitmqNode> {
    const queue = this.#made.flatMap(({ queues }) => queues)[0];
    if (queue === undefined) throw new Error('Before a node is killed, a driver of the session makes a queue.');
    return await this.#rabbitmq.leaderOf(queue.name);
  }

  async #refuseDeadLane(queue: Queue, on: boolean): Promise<void> {
    const { url } = this.#rabbitmq;
    if (on) return remove(url, [{ broker: placeOf(url), kind: 'queue', name: deadName(queue.name) }]);
    const driver = createDriver({ urls: [url] }, {});
    await driver.admin?.apply(
      { topics: queue.bindings.map(({ topic }) => topic), queues: [queue] },
      new AbortController().signal,
    );
    await driver.close(Date.now() + 2_000);
  }
}

/** Removes what runs that crashed left on a broker that outlived them. */
export async function sweepRabbitmq(url: string, progress: Progress): Promise<void> {
  const swept = await sweepTraces(placeOf(url), (traces) => remove(url, traces));
  if (swept.length > 0) progress(`sweep: removed ${swept.length} queues and exchanges of dead runs`);
}

async function remove(url: string, traces: readonly Trace[]): Promise<void> {
  const connection = await connect(url);
  try {
    const channel = await connection.createChannel();
    const seen = new Map(traces.map((trace) => [`${trace.kind} ${trace.name}`, trace]));
    for (const { kind, name } of seen.values()) {
      await (kind === 'queue' ? channel.deleteQueue(name) : channel.deleteExchange(name));
    }
    await channel.close();
  } finally {
    await connection.close();
  }
}
