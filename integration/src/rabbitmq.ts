import { connect } from 'amqplib';

import { type ContainerControl, controlContainer, readyOrRemoved, untilReady, withoutContainer } from './container.ts';
import { ensureEngine } from './engine.ts';
import { freePort } from './free-port.ts';
import { resolveImage } from './images.ts';
import { LocalContainer } from './local-container.ts';
import { type Progress, seconds, silent } from './progress.ts';
import { rabbitmqFiles, rabbitmqUrl, type RabbitmqVersion, rabbitmqVersions } from './rabbitmq-settings.ts';
import { setting } from './setting.ts';
import { sweepLeftovers } from './sweep.ts';

export interface RabbitmqOptions {
  /** @default 'current' */
  readonly version?: RabbitmqVersion;
  /** Enables the management plugin and its HTTP port. @default false */
  readonly management?: boolean;
  readonly progress?: Progress;
}

/** What another process needs to reach the same broker; plain data. */
export interface RabbitmqDescriptor {
  readonly url: string;
  /** As the broker tells it, such as `4.3.6`. */
  readonly version: string;
  /** Without credentials, which are those of `url`. */
  readonly managementUrl?: string;
  /** Absent for a broker that was given by URL. */
  readonly containerId?: string;
}

/** A real broker and its faults. `start` and `restart` resolve once it takes connections again, on the same port. */
export interface Rabbitmq extends RabbitmqDescriptor, ContainerControl {
  readonly descriptor: RabbitmqDescriptor;
  /** Raises or lifts the broker's memory alarm, which stops every connection that publishes. */
  blockPublishers(on: boolean): Promise<void>;
  /** Writes to disk which quorum queues there are. One declared less than about a second before {@link kill} comes back empty. */
  saveQueues(): Promise<void>;
}

/**
 * Starts a RabbitMQ of that version, with engine and image when they are missing. Resolves once it takes connections.
 * Starts nothing when `WAYBILL_RABBITMQ_URL` (for `old`: `WAYBILL_RABBITMQ_OLD_URL`) is set; faults then reject.
 */
export async function startRabbitmq(options: RabbitmqOptions = {}): Promise<Rabbitmq> {
  const { version = 'current', management = false, progress = silent } = options;
  const { image, urlSetting } = rabbitmqVersions[version];
  const url = setting(urlSetting);
  if (url !== undefined) {
    progress(`broker: RabbitMQ of ${urlSetting}, no container`);
    return attachRabbitmq({ url, version: await rabbitmqVersionAt(url) });
  }
  await ensureEngine(progress);
  await sweepLeftovers(progress);
  const { name } = await resolveImage(image, progress);
  return await startContainer(name, management, progress);
}

/** Reaches a broker that another process started. Resolves at once; nothing is checked. */
export function attachRabbitmq(descriptor: RabbitmqDescriptor): Rabbitmq {
  const control = controlBroker(descriptor);
  return {
    ...descriptor,
    ...control,
    descriptor,
    blockPublishers: async (on) => {
      await control.exec(['rabbitmqctl', 'set_vm_memory_high_watermark', on ? '0' : '0.6']);
    },
    // Names of quorum queues are in a DETS table that saves itself after 500 ms without a write. A queue that is not in
    // it starts as a new member after a crash (`name_not_registered` in the log), whatever was confirmed. Seen on 4.0.5
    // and 4.3.6; the same warning is in https://github.com/rabbitmq/rabbitmq-server/issues/15725.
    saveQueues: async () => {
      await control.exec(['rabbitmqctl', 'eval', '[ok = dets:sync(Table) || Table <- dets:all()].']);
    },
  };
}

/** Connects once and resolves with the version that the broker tells. */
export async function rabbitmqVersionAt(url: string): Promise<string> {
  const model = await connect(url, { timeout: 5_000 });
  model.on('error', () => {});
  const { version } = model.connection.serverProperties;
  await model.close();
  return version;
}

async function startContainer(image: string, management: boolean, progress: Progress): Promise<Rabbitmq> {
  const startedAt = Date.now();
  const port = await freePort();
  const managementPort = await freePort();
  const ports = [{ container: 5672, host: port }, ...(management ? [{ container: 15_672, host: managementPort }] : [])];
  const containerId = await new LocalContainer(image)
    .withExposedPorts(...ports)
    .withCopyContentToContainer(rabbitmqFiles(management))
    .startDetached();
  const url = rabbitmqUrl(port);
  const version = await readyOrRemoved(containerId, () => rabbitmqVersionAt(url));
  progress(`broker: RabbitMQ ${version} takes connections after ${seconds(Date.now() - startedAt)}`);
  const managementUrl = `http://127.0.0.1:${managementPort}`;
  return attachRabbitmq({ url, version, containerId, ...(management ? { managementUrl } : {}) });
}

function controlBroker({ url, containerId }: RabbitmqDescriptor): ContainerControl {
  if (containerId === undefined) {
    return withoutContainer('WAYBILL_RABBITMQ_URL and WAYBILL_RABBITMQ_OLD_URL');
  }
  const control = controlContainer(containerId);
  const ready = async (): Promise<void> => void (await untilReady(containerId, () => rabbitmqVersionAt(url)));
  return {
    ...control,
    start: () => control.start().then(ready),
    restart: () => control.restart().then(ready),
  };
}
