import type { Session } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
import type { Proxy } from '../proxy.ts';
import type { OwnServiceBusStandin } from '../service-bus-standin.ts';
import { createDriver, type SessionOptions } from './service-bus-driver.ts';

/** A stand-in and the ways to it: of messages, and of management. */
export interface Broker {
  readonly standin: OwnServiceBusStandin;
  readonly connectionString: string;
  readonly proxies: readonly [amqp: Proxy, management: Proxy];
}

/** One scenario's broker, behind proxies of its own. */
export class ServiceBusSession implements Session {
  readonly #broker: Broker;
  readonly worker: NonNullable<Session['worker']>;
  readonly faults: Session['faults'];

  constructor(broker: Broker) {
    this.#broker = broker;
    const { standin, connectionString, proxies } = broker;
    const [amqp, management] = proxies;
    const options: SessionOptions = {
      connectionString: connectionString.replace(/sb:\/\/[^/;]*/, `sb://${new URL(amqp.url).host}`),
      managementUrl: management.url.replace(/\/$/, ''),
    };
    this.worker = { url: new URL('./service-bus-driver.js', import.meta.url).href, options };
    const both = async (fault: (proxy: Proxy) => Promise<void>): Promise<void> => {
      await Promise.all(proxies.map(fault));
    };
    this.faults = {
      cut: () => both((proxy) => proxy.cut()),
      blackHole: (on) => both((proxy) => proxy.blackHole(on)),
      delay: (ms) => both((proxy) => proxy.latency(ms)),
      loseConfirms: (on) => amqp.loseAnswers(on),
      pause: async (on) => (on ? standin.pause() : standin.unpause()),
      kill: () => standin.kill(),
      start: () => standin.start(),
    };
  }

  createDriver(settings: Parameters<Session['createDriver']>[0] = {}): Driver {
    return createDriver(this.worker.options, settings);
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#broker.proxies.map((proxy) => proxy.close()));
    await this.#broker.standin.stop();
  }
}
