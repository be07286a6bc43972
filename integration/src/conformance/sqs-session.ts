import { tmpdir } from 'node:os';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DeleteQueueCommand, GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { Session } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
import type { Queue } from '@waybill/core/driver';
import type { ContainerControl } from '../container.ts';
import type { Localemu } from '../localemu.ts';
import type { Proxy } from '../proxy.ts';
import { sqsClientSettings, type SqsDescriptor } from '../sqs-server.ts';
import type { ToxiproxyServer } from '../toxiproxy.ts';
import { networkFaults } from './faults.ts';
import { createDriver, type SessionOptions } from './sqs-driver.ts';
import { removeAll } from './sqs-traces.ts';

/** The server of a run. Without a proxy it is somebody else's. */
export interface SqsServer {
  readonly server: SqsDescriptor & ContainerControl;
  /** Has topics, and keeps what it holds through a stop only. */
  readonly localemu?: Localemu;
  readonly toxiproxy?: ToxiproxyServer;
  readonly openProxy?: () => Promise<Proxy>;
}

let sessions = 0;

/** One scenario's connections, behind a proxy of their own where there is one. */
export class SqsSession implements Session {
  readonly #running: SqsServer;
  readonly #proxy: Proxy | undefined;
  readonly #options: SessionOptions;
  readonly worker: NonNullable<Session['worker']>;
  readonly faults: Session['faults'];

  static async open(running: SqsServer): Promise<SqsSession> {
    return new SqsSession(running, await running.openProxy?.());
  }

  private constructor(running: SqsServer, proxy: Proxy | undefined) {
    this.#running = running;
    this.#proxy = proxy;
    const { server, localemu } = running;
    const { region, credentials } = server;
    const endpoint = proxy?.url ?? server.endpoint;
    sessions += 1;
    this.#options = {
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
      ...(hasTopics(running) ? {} : { bindings: join(tmpdir(), `waybill-bindings-${process.pid}-${sessions}.jsonl`) }),
      ...(proxy === undefined ? { runBy: process.pid } : {}),
    };
    this.worker = { url: new URL('./sqs-driver.js', import.meta.url).href, options: this.#options };
    this.faults = {
      ...networkFaults(proxy),
      pause: (on) => (on ? server.pause() : server.unpause()),
      ...(localemu === undefined ? { kill: () => server.kill() } : { stop: () => localemu.kill() }),
      start: () => server.start(),
      refuseDeadLane: (queue, on) => this.#refuseDeadLane(queue, on),
    };
  }

  createDriver(settings: Parameters<Session['createDriver']>[0] = {}): Driver {
    return createDriver(this.#options, settings);
  }

  async close(prefix: string): Promise<void> {
    await this.#proxy?.close();
    await removeAll(this.#running.server, `${prefix}.`, hasTopics(this.#running));
    if (this.#options.bindings !== undefined) rmSync(this.#options.bindings, { force: true });
  }

  /** By a policy where there are any; else the queue is removed, and made again. */
  async #refuseDeadLane(queue: Queue, on: boolean): Promise<void> {
    const { server, localemu } = this.#running;
    if (!on && localemu === undefined) return this.#makeAgain(queue);
    const client = new SQSClient(sqsClientSettings(server));
    try {
      const QueueName = `${queue.name.replaceAll('.', '_')}_dead${queue.ordered ? '.fifo' : ''}`;
      const { QueueUrl = '' } = await client.send(new GetQueueUrlCommand({ QueueName }));
      if (localemu === undefined) await client.send(new DeleteQueueCommand({ QueueUrl }));
      else await localemu.refuseWrites(QueueUrl, on);
    } finally {
      client.destroy();
    }
  }

  async #makeAgain(queue: Queue): Promise<void> {
    const driver = createDriver(this.#options, {});
    const topics = queue.bindings.map(({ topic }) => topic);
    await driver.admin?.apply({ topics, queues: [queue] }, new AbortController().signal);
    await driver.close(Date.now() + 2_000);
  }
}

/** What was given is taken for AWS, or for something as complete. */
function hasTopics({ server, localemu }: SqsServer): boolean {
  return localemu !== undefined || server.containerId === undefined;
}
