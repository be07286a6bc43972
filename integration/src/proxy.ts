import { randomUUID } from 'node:crypto';

import { Toxiproxy, type Proxy as ToxiproxyProxy } from 'toxiproxy-node-client';

import { freePort } from './free-port.ts';
import { putToxic, removeToxic, setBothWays } from './toxics.ts';
import type { ToxiproxyDescriptor } from './toxiproxy.ts';

export interface ProxyOptions {
  /** Whether a connection that the proxy closes ends with FIN or with RST. @default 'fin' */
  readonly closesWith?: 'fin' | 'reset';
}

/** A way to one upstream, in which faults can be put. Each fault resolves once the proxy has taken it. */
export interface Proxy {
  /** The upstream's URL with the proxy's address in it. */
  readonly url: string;
  /** Closes every connection; new ones go through. */
  cut(): Promise<void>;
  /** On: closes every connection and refuses new ones. */
  refuse(on: boolean): Promise<void>;
  /** On: both directions lose all bytes; a close still gets through. Off closes the connections: their streams have holes. */
  blackHole(on: boolean): Promise<void>;
  /** On: the upstream hears the client and its answers, such as confirms, are lost. Off closes the connections. */
  loseAnswers(on: boolean): Promise<void>;
  /** Closes each connection after so many more bytes of answers; undefined lifts it. */
  limitAnswers(bytes: number | undefined): Promise<void>;
  /** Delays each direction by so much; 0 lifts it. */
  latency(delayMs: number): Promise<void>;
  /** Closes every connection and the proxy itself. */
  close(): Promise<void>;
}

/** Opens a proxy to the host and port of a URL on a Toxiproxy that runs. Resolves once it takes connections. */
export async function startProxy(
  server: ToxiproxyDescriptor,
  upstreamUrl: string,
  options: ProxyOptions = {},
): Promise<Proxy> {
  const [proxy, port] = await create(server, new URL(upstreamUrl));
  if (options.closesWith === 'reset') {
    // Toxiproxy decides on RST when a connection opens: a toxic that affects no connection is enough to make it.
    const attributes = { timeout: 0 };
    await putToxic(proxy, { name: 'reset', stream: 'downstream', type: 'reset_peer', toxicity: 0, attributes });
  }
  return { url: withAddress(upstreamUrl, port), ...faultsOf(proxy) };
}

function faultsOf(proxy: ToxiproxyProxy): Omit<Proxy, 'url'> {
  const { name, listen, upstream } = proxy;
  const enable = async (enabled: boolean): Promise<void> => void (await proxy.update({ enabled, listen, upstream }));
  const limit = 'limit-answers';
  const lose = 'lose-answers';
  return {
    cut: () => enable(false).then(() => enable(true)),
    refuse: (on) => enable(!on),
    blackHole: (on) => setBothWays(proxy, on, { name: 'black-hole', type: 'timeout', attributes: { timeout: 0 } }),
    loseAnswers: (on) =>
      on
        ? putToxic(proxy, { name: lose, stream: 'downstream', type: 'timeout', attributes: { timeout: 0 } })
        : removeToxic(proxy, lose),
    limitAnswers: (bytes) =>
      bytes === undefined
        ? removeToxic(proxy, limit)
        : putToxic(proxy, { name: limit, stream: 'downstream', type: 'limit_data', attributes: { bytes } }),
    latency: (delayMs) => {
      const attributes = { latency: delayMs, jitter: 0 };
      return setBothWays(proxy, delayMs > 0, { name: 'latency', type: 'latency', attributes });
    },
    close: () => proxy.toxiproxy.get(name).then((found) => found.remove()),
  };
}

async function create(server: ToxiproxyDescriptor, upstream: URL): Promise<[ToxiproxyProxy, number]> {
  const published = server.publishedPorts.length > 0;
  const ports = published ? server.publishedPorts : [await freePort()];
  let failure: unknown;
  for (const port of ports) {
    try {
      const proxy = await new Toxiproxy(server.apiUrl).createProxy({
        name: randomUUID(),
        listen: `${published ? '0.0.0.0' : '127.0.0.1'}:${port}`,
        upstream: `${hostFor(published, upstream.hostname)}:${upstream.port}`,
      });
      return [proxy, port];
    } catch (error) {
      // Another proxy may have the port.
      failure = error;
    }
  }
  throw new Error(`Toxiproxy opens no proxy: its ${ports.length} ports are taken.`, { cause: failure });
}

// An engine in a virtual machine has its own loopback; this name is the host's.
function hostFor(published: boolean, hostname: string): string {
  return published && ['127.0.0.1', 'localhost'].includes(hostname) ? 'host.docker.internal' : hostname;
}

function withAddress(upstreamUrl: string, port: number): string {
  const url = new URL(upstreamUrl);
  url.host = `127.0.0.1:${port}`;
  return url.href;
}
