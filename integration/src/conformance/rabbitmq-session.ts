import type { Session } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
import { deadName, type Queue, type Topology } from '@waybill/core/driver';
import { connect } from 'amqplib';
import type { Progress } from '../progress.ts';
import type { Proxy } from '../proxy.ts';
import type { Rabbitmq } from '../rabbitmq.ts';
import type { ToxiproxyServer } from '../toxiproxy.ts';
import { createDriver, type SessionOptions } from './rabbitmq-driver.ts';
import { placeOf, tracesOf } from './rabbitmq-traces.ts';
import { telling } from './telling.ts';
import { sweepTraces, type Trace } from './traces.ts';

/** The broker of a run. Without a proxy it is somebody else's. */
export interface Broker {
  readonly rabbitmq: Rabbitmq;
  readonly toxiproxy?: ToxiproxyServer;
  readonly openProxy?: () => Promise<Proxy>;
}

/** One scenario's connections, behind a proxy of their own where there is one. */
export class RabbitmqSession implements Session {
  readonly #rabbitmq: Rabbitmq;
  readonly #proxy: Proxy | undefined;
  /** It is removed with the session. */
  readonly #made: Topology[] = [];
  readonly worker: NonNullable<Session['worker']>;
  readonly faults: Session['faults'];

  static async open({ rabbitmq, openProxy }: Broker): Promise<RabbitmqSession> {
    return new RabbitmqSession(rabbitmq, await openProxy?.());
  }

  private constructor(rabbitmq: Rabbitmq, proxy: Proxy | undefined) {
    this.#rabbitmq = rabbitmq;
    this.#proxy = proxy;
    const options: SessionOptions =
      proxy === undefined ? { url: rabbitmq.url, runBy: process.pid } : { url: proxy.url };
    this.worker = { url: new URL('./rabbitmq-driver.js', import.meta.url).href, options };
    this.faults = {
      ...(proxy === undefined ? {} : networkFaults(proxy)),
      pause: (on) => (on ? rabbitmq.pause() : rabbitmq.unpause()),
      kill: async () => {
        // What was declared a moment ago would come back empty.
        await rabbitmq.saveQueues();
        await rabbitmq.kill();
      },
      start: () => rabbitmq.start(),
      refuseDeadLane: (queue, on) => this.#refuseDeadLane(queue, on),
    };
  }

  createDriver(settings: Parameters<Session['createDriver']>[0] = {}): Driver {
    const driver = createDriver(this.worker.options, settings);
    return telling(driver, (topology) => void this.#made.push(topology));
  }

  async close(_prefix: string, topology: Topology): Promise<void> {
    const { url } = this.#rabbitmq;
    await this.#proxy?.close();
    await remove(
      url,
      [...this.#made, topology].flatMap((made) => tracesOf(url, made)),
    );
  }

  async #refuseDeadLane(queue: Queue, on: boolean): Promise<void> {
    const { url } = this.#rabbitmq;
    if (on) return remove(url, [{ broker: placeOf(url), kind: 'queue', name: deadName(queue.name) }]);
    const driver = createDriver({ url }, {});
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

function networkFaults(proxy: Proxy): Session['faults'] {
  return {
    cut: () => proxy.cut(),
    blackHole: (on) => proxy.blackHole(on),
    delay: (ms) => proxy.latency(ms),
    loseConfirms: (on) => proxy.loseAnswers(on),
  };
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
