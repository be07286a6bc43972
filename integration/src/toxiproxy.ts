import { Toxiproxy } from 'toxiproxy-node-client';

import { docker } from './command.ts';
import { controlContainer, readyOrRemoved } from './container.ts';
import { ensureEngine } from './engine.ts';
import { freePort } from './free-port.ts';
import { resolveImage } from './images.ts';
import { LocalContainer } from './local-container.ts';
import { type Progress, seconds, silent } from './progress.ts';
import { sweepLeftovers } from './sweep.ts';

/** What another process needs to open proxies; plain data. */
export interface ToxiproxyDescriptor {
  readonly apiUrl: string;
  readonly containerId: string;
  /** Ports for proxies where they had to be published beforehand; empty when the container has the host's network. */
  readonly publishedPorts: readonly number[];
}

export interface ToxiproxyServer extends ToxiproxyDescriptor {
  readonly descriptor: ToxiproxyDescriptor;
  /** Removes it with all its proxies. */
  stop(): Promise<void>;
}

/** Starts a Toxiproxy without proxies, with engine and image when they are missing. Resolves once its API answers. */
export async function startToxiproxy(progress: Progress = silent): Promise<ToxiproxyServer> {
  await ensureEngine(progress);
  await sweepLeftovers(progress);
  const { name } = await resolveImage('toxiproxy', progress);
  const startedAt = Date.now();
  const apiPort = await freePort();
  const publishedPorts = (await sharesHostNetwork()) ? [] : await somePorts(12);
  const containerId = await container(name, apiPort, publishedPorts).startDetached();
  const descriptor = { apiUrl: `http://127.0.0.1:${apiPort}`, containerId, publishedPorts };
  const version = await readyOrRemoved(containerId, () => new Toxiproxy(descriptor.apiUrl).getVersion());
  progress(`proxy: Toxiproxy ${versionIn(version)} answers after ${seconds(Date.now() - startedAt)}`);
  return { ...descriptor, descriptor, stop: () => controlContainer(containerId).stop() };
}

function container(image: string, apiPort: number, ports: readonly number[]): LocalContainer {
  if (ports.length === 0) {
    return new LocalContainer(image).withNetworkMode('host').withCommand(['-host=127.0.0.1', `-port=${apiPort}`]);
  }
  return new LocalContainer(image)
    .withCommand(['-host=0.0.0.0', `-port=${apiPort}`])
    .withExposedPorts(...[apiPort, ...ports].map((port) => ({ container: port, host: port })));
}

// Docker's port publishing on loopback goes through a process that turns RST into FIN. On the host's network there is
// none between client and proxy; an engine in a virtual machine or a user namespace does not have the host's network.
async function sharesHostNetwork(): Promise<boolean> {
  const info = await docker('info', '--format', '{{.OperatingSystem}} {{.SecurityOptions}}');
  return process.platform === 'linux' && !/Docker Desktop|rootless/.test(info);
}

async function somePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    ports.add(await freePort());
  }
  return [...ports];
}

// The server answers with JSON, the client passes its text on.
function versionIn(text: string): string {
  return /\d[\w.-]*/.exec(text)?.[0] ?? text;
}
