import type { Session } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
import type { Proxy } from '../proxy.ts';
import type { ServiceBusDescriptor } from '../service-bus-server.ts';
import { createDriver, type SessionOptions } from './service-bus-driver.ts';

/** The two ways to a server: of messages, and of management. */
export type Ways = readonly [amqp: Proxy, management: Proxy];

/** What one scenario has of a server. */
export interface Place {
  readonly server: ServiceBusDescriptor;
  /** Of the scenario alone; absent: straight to the server. */
  readonly ways?: Ways;
  /** Of the server itself. */
  readonly faults?: Session['faults'];
  /** The process of the run, where the server outlives it. */
  readonly runBy?: number;
  /** Removes what the scenario made. */
  leave(prefix: string): Promise<void>;
}

/** One scenario's connections, behind proxies of their own where there are any. */
export class ServiceBusSession implements Session {
  readonly #place: Place;
  readonly worker: NonNullable<Session['worker']>;
  readonly faults: Session['faults'];

  constructor(place: Place) {
    this.#place = place;
    this.worker = { url: new URL('./service-bus-driver.js', import.meta.url).href, options: optionsFor(place) };
    this.faults = { ...(place.ways === undefined ? {} : networkFaults(place.ways)), ...place.faults };
  }

  createDriver(settings: Parameters<Session['createDriver']>[0] = {}): Driver {
    return createDriver(this.worker.options, settings);
  }

  async close(prefix: string): Promise<void> {
    await Promise.allSettled((this.#place.ways ?? []).map((way) => way.close()));
    await this.#place.leave(`${prefix}.`);
  }
}

function optionsFor({ server, ways, runBy }: Place): SessionOptions {
  const { connectionString, managementUrl, maxDeliveries } = server;
  const more = {
    ...(maxDeliveries === undefined ? {} : { maxDeliveries }),
    ...(runBy === undefined ? {} : { runBy }),
  };
  if (ways === undefined) {
    return { connectionString, ...(managementUrl === undefined ? {} : { managementUrl }), ...more };
  }
  const [amqp, management] = ways;
  return {
    connectionString: connectionString.replace(/sb:\/\/[^/;]*/, `sb://${new URL(amqp.url).host}`),
    managementUrl: management.url.replace(/\/$/, ''),
    ...more,
  };
}

function networkFaults(ways: Ways): Session['faults'] {
  const both = async (fault: (proxy: Proxy) => Promise<void>): Promise<void> => {
    await Promise.all(ways.map(fault));
  };
  return {
    cut: () => both((proxy) => proxy.cut()),
    blackHole: (on) => both((proxy) => proxy.blackHole(on)),
    delay: (ms) => both((proxy) => proxy.latency(ms)),
    loseConfirms: (on) => ways[0].loseAnswers(on),
  };
}
