import { GenericContainer, Wait } from 'testcontainers';

import { docker } from './command.ts';
import { ownerLabels } from './owner.ts';

/** A Testcontainers container that carries the harness's labels and publishes its ports on 127.0.0.1 only. */
export class LocalContainer extends GenericContainer {
  constructor(image: string) {
    super(image);
    this.withLabels(ownerLabels());
    // The default looks for ports with a shell inside the container, which an image from scratch does not have.
    this.withWaitStrategy(Wait.forAll([]));
  }

  /** Creates and starts it; resolves with its id. Readiness is the caller's affair. */
  async startDetached(): Promise<string> {
    // Ryuk's image cannot be had everywhere; the labels and the sweep do its work.
    process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
    // Testcontainers does not know the contexts of the Docker client.
    process.env['DOCKER_HOST'] ??= await docker('context', 'inspect', '--format', '{{.Endpoints.docker.Host}}');
    const container = await this.start();
    return container.getId();
  }

  protected override async beforeContainerCreated(): Promise<void> {
    const bindings = (this.hostConfig.PortBindings ?? {}) as Record<string, { HostPort: string }[]>;
    this.hostConfig.PortBindings = Object.fromEntries(
      Object.entries(bindings).map(([port, hosts]) => [port, hosts.map((host) => ({ ...host, HostIp: '127.0.0.1' }))]),
    );
  }
}
