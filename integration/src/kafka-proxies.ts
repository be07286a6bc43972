import { connect } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

import type { ISocketFactory } from 'kafkajs';

import { type Proxy, type ProxyOptions, startProxy } from './proxy.ts';
import type { ToxiproxyDescriptor } from './toxiproxy.ts';

/**
 * Ways to all nodes of a cluster, in which faults can be put: into all at once, or into `each`. Clients take the
 * addresses of nodes from the cluster, which does not know the proxies: they need {@link throughProxies} as well.
 */
export interface KafkaProxies extends Omit<Proxy, 'url' | 'limitAnswers'> {
  /** Addresses of the proxies, in the order of the nodes. */
  readonly brokers: readonly string[];
  /** From the address of each node to that of its proxy; plain data. */
  readonly addresses: Readonly<Record<string, string>>;
  /** In the order of the nodes. */
  readonly each: readonly Proxy[];
}

/** Opens a proxy per node on a Toxiproxy that runs. `brokers` are of any one listener. Resolves once they take connections. */
export async function kafkaProxies(
  server: ToxiproxyDescriptor,
  { brokers }: { readonly brokers: readonly string[] },
  options?: ProxyOptions,
): Promise<KafkaProxies> {
  const each: Proxy[] = [];
  for (const broker of brokers) {
    each.push(await startProxy(server, `tcp://${broker}`, options));
  }
  const places = each.map(({ url }) => new URL(url).host);
  const all = async (fault: (proxy: Proxy) => Promise<void>): Promise<void> =>
    void (await Promise.all(each.map(fault)));
  return {
    brokers: places,
    addresses: Object.fromEntries(brokers.map((broker, index) => [broker, places[index] ?? broker])),
    each,
    cut: () => all((proxy) => proxy.cut()),
    refuse: (on) => all((proxy) => proxy.refuse(on)),
    blackHole: (on) => all((proxy) => proxy.blackHole(on)),
    loseAnswers: (on) => all((proxy) => proxy.loseAnswers(on)),
    latency: (delayMs) => all((proxy) => proxy.latency(delayMs)),
    close: () => all((proxy) => proxy.close()),
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
