import { connect } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

import type { ISocketFactory } from 'kafkajs';

import { openProxies, type Proxies } from './proxies.ts';
import type { ProxyOptions } from './proxy.ts';
import type { ToxiproxyDescriptor } from './toxiproxy.ts';

/** Clients take the addresses of nodes from the cluster, which does not know the proxies: they need {@link throughProxies} as well. */
export interface KafkaProxies extends Proxies {
  /** Addresses of the proxies, in the order of the nodes. */
  readonly brokers: readonly string[];
  /** From the address of each node to that of its proxy; plain data. */
  readonly addresses: Readonly<Record<string, string>>;
}

/** Opens a proxy per node on a Toxiproxy that runs. `brokers` are of any one listener. Resolves once they take connections. */
export async function kafkaProxies(
  server: ToxiproxyDescriptor,
  { brokers }: { readonly brokers: readonly string[] },
  options?: ProxyOptions,
): Promise<KafkaProxies> {
  const upstreams = brokers.map((broker) => `tcp://${broker}`);
  const proxies = await openProxies(server, upstreams, options);
  const places = proxies.urls.map((url) => new URL(url).host);
  return {
    ...proxies,
    brokers: places,
    addresses: Object.fromEntries(brokers.map((broker, index) => [broker, places[index] ?? broker])),
  };
}

/** Sockets for kafkajs that go to `addresses[node]` where the client means a node. */
export function throughProxies(addresses: Readonly<Record<string, string>>): ISocketFactory {
  return ({ host, port, ssl, onConnect }) => {
    const { hostname, port: proxyPort } = new URL(`tcp://${addresses[`${host}:${port}`] ?? `${host}:${port}`}`);
    const place = { host: hostname, port: Number(proxyPort) };
    // What the client was given, or null, whatever its type says.
    const tls = ssl as ConnectionOptions | boolean | null;
    const isPlain = tls === null || tls === false;
    const options = typeof tls === 'object' ? tls : {};
    const socket = isPlain ? connect(place, onConnect) : connectTls({ ...place, ...options }, onConnect);
    return socket.setKeepAlive(true, 60_000);
  };
}
