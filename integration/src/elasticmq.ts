import { docker } from './command.ts';
import { type ContainerControl, controlContainer, readyOrRemoved, untilReady } from './container.ts';
import { ensureEngine } from './engine.ts';
import { freePort } from './free-port.ts';
import { resolveImage } from './images.ts';
import { LocalContainer } from './local-container.ts';
import { type Progress, seconds, silent } from './progress.ts';
import { type SqsDescriptor, sqsRegion, workOnceWithSqs } from './sqs-server.ts';
import { sweepLeftovers } from './sweep.ts';

export interface ElasticmqOptions {
  /**
   * `disk` has on disk what it answered for, so that {@link ContainerControl.kill} loses nothing; but FIFO queues forget
   * their order by it. `memory` is faster and loses all.
   * @default 'disk'
   */
  readonly storage?: 'disk' | 'memory';
  readonly progress?: Progress;
}

/** What another process needs to reach the same server; plain data. */
export interface ElasticmqDescriptor extends SqsDescriptor {
  readonly endpoint: string;
  readonly containerId: string;
}

/** A real ElasticMQ (SQS, no SNS, any credentials) and its faults. `start` and `restart` resolve once it works again. */
export interface Elasticmq extends ElasticmqDescriptor, ContainerControl {
  readonly descriptor: ElasticmqDescriptor;
}

/**
 * Starts an ElasticMQ, with engine and image when they are missing. Resolves once a message went through a queue.
 */
export async function startElasticmq(options: ElasticmqOptions = {}): Promise<Elasticmq> {
  const { storage = 'disk', progress = silent } = options;
  await ensureEngine(progress);
  await sweepLeftovers(progress);
  const { name } = await resolveImage('elasticmq', progress);
  const startedAt = Date.now();
  const port = await freePort();
  const containerId = await new LocalContainer(name)
    .withExposedPorts({ container: 9324, host: port })
    .withEnvironment({ JAVA_OPTS: '-Xmx512m -XX:+UseSerialGC' })
    .withCopyContentToContainer([{ target: '/opt/elasticmq.conf', content: configuration(storage) }])
    .startDetached();
  const server = {
    endpoint: `http://127.0.0.1:${port}`,
    region: sqsRegion,
    // It takes any.
    credentials: { accessKeyId: 'elasticmq', secretAccessKey: 'elasticmq' },
    containerId,
  };
  await readyOrRemoved(containerId, () => workOnceWithSqs({ ...server, version: 'unknown' }));
  const version = /ElasticMQ server \((\S+)\)/.exec(await docker('logs', containerId))?.[1] ?? 'unknown';
  progress(`broker: ElasticMQ ${version} (${storage}) works after ${seconds(Date.now() - startedAt)}`);
  return attachElasticmq({ ...server, version });
}

/** Reaches a server that another process started. Resolves at once; nothing is checked. */
export function attachElasticmq(descriptor: ElasticmqDescriptor): Elasticmq {
  return { ...descriptor, ...controlServer(descriptor), descriptor };
}

function controlServer(descriptor: ElasticmqDescriptor): ContainerControl {
  const { containerId } = descriptor;
  const control = controlContainer(containerId);
  const ready = (): Promise<void> => untilReady(containerId, () => workOnceWithSqs(descriptor));
  return {
    ...control,
    start: () => control.start().then(ready),
    restart: () => control.restart().then(ready),
  };
}

// Without WRITE_DELAY=0 the database answers up to half a second before it has on disk what it answered for.
function configuration(storage: 'disk' | 'memory'): string {
  const database = `{
  enabled = true
  driver-class = "org.h2.Driver"
  uri = "jdbc:h2:/tmp/elasticmq/h2;WRITE_DELAY=0"
  username = ""
  password = ""
}`;
  const stores = storage === 'disk' ? `messages-storage ${database}\nqueues-storage ${database}\n` : '';
  return `include classpath("application.conf")
// The URL of a queue has the address under which the server was asked.
node-address { protocol = http, host = "*", port = 9324, context-path = "" }
rest-sqs { enabled = true, bind-port = 9324, bind-hostname = "0.0.0.0", sqs-limits = strict }
rest-stats { enabled = false }
aws { region = ${sqsRegion}, accountId = 000000000000 }
${stores}`;
}
