import { type Proxy, type ProxyOptions, startProxy } from './proxy.ts';
import type { ToxiproxyDescriptor } from './toxiproxy.ts';

/** Ways to all nodes of a cluster, in which faults can be put: into all at once, or into `each`. */
export interface Proxies extends Omit<Proxy, 'url' | 'limitAnswers'> {
  /** Those of the nodes with the addresses of the proxies in them, in the order of the nodes. */
  readonly urls: readonly string[];
  /** In the order of the nodes. */
  readonly each: readonly Proxy[];
}

/** Opens a proxy per node on a Toxiproxy that runs. Resolves once they take connections. */
export async function openProxies(
  server: ToxiproxyDescriptor,
  upstreamUrls: readonly string[],
  options?: ProxyOptions,
): Promise<Proxies> {
  const each: Proxy[] = [];
  for (const url of upstreamUrls) {
    each.push(await startProxy(server, url, options));
  }
  const all = async (fault: (proxy: Proxy) => Promise<void>): Promise<void> =>
    void (await Promise.all(each.map(fault)));
  return {
    urls: each.map(({ url }) => url),
    each,
    cut: () => all((proxy) => proxy.cut()),
    refuse: (on) => all((proxy) => proxy.refuse(on)),
    blackHole: (on) => all((proxy) => proxy.blackHole(on)),
    loseAnswers: (on) => all((proxy) => proxy.loseAnswers(on)),
    latency: (delayMs) => all((proxy) => proxy.latency(delayMs)),
    close: () => all((proxy) => proxy.close()),
  };
}
