import { ListTopicsCommand, SNSClient } from '@aws-sdk/client-sns';

import { docker } from './command.ts';
import {
  type ContainerControl,
  controlContainer,
  faultRefused,
  readyOrRemoved,
  untilReady,
  withoutContainer,
} from './container.ts';
import { ensureEngine } from './engine.ts';
import { freePort } from './free-port.ts';
import { resolveImage } from './images.ts';
import { LocalContainer } from './local-container.ts';
import {
  localemuEntrypoint,
  localemuEnvironment,
  localemuPort,
  localemuRoot,
  saveLocalemu,
} from './localemu-inside.ts';
import { createLocalemuUser, type PolicyStatement, refuseWritesTo } from './localemu-users.ts';
import { type Progress, seconds, silent } from './progress.ts';
import {
  givenSqs,
  sqsClientSettings,
  type SqsCredentials,
  type SqsDescriptor,
  sqsRegion,
  sqsSettings,
  workOnceWithSqs,
} from './sqs-server.ts';
import { sweepLeftovers } from './sweep.ts';

export interface LocalemuOptions {
  readonly progress?: Progress;
}

/**
 * A real LocalEmu (SQS, SNS, IAM) and its faults. {@link SqsDescriptor.credentials} are of a user who may do everything
 * with queues and topics. By itself it keeps what it holds in memory until it ends, so `kill` first takes it off its
 * network, lets SNS deliver what it has taken and has all of that written to disk: nothing that was answered is lost.
 * `restart` is `kill` and `start`; both resolve once it works again, at the same endpoint.
 */
export interface Localemu extends SqsDescriptor, ContainerControl {
  readonly descriptor: SqsDescriptor;
  /** Creates a user who may do what the statements allow; resolves with the credentials. Needs a container. */
  createUser(statements: readonly PolicyStatement[]): Promise<SqsCredentials>;
  /** On: nobody but root may send to the queue of this URL. Resolves once that holds. Needs a container. */
  refuseWrites(queueUrl: string, on: boolean): Promise<void>;
}

/**
 * Starts a LocalEmu, with engine and image when they are missing. Resolves once a message went through a queue and SNS
 * answers. Starts nothing when `WAYBILL_SQS_REGION` or `WAYBILL_SQS_ENDPOINT` is set; faults then reject.
 */
export async function startLocalemu({ progress = silent }: LocalemuOptions = {}): Promise<Localemu> {
  const given = givenSqs();
  if (given !== undefined) {
    await works(given);
    progress(`broker: SQS of ${sqsSettings}, ${given.endpoint ?? `AWS in ${given.region}`}, no container`);
    return attachLocalemu(given);
  }
  await ensureEngine(progress);
  await sweepLeftovers(progress);
  const { name } = await resolveImage('localemu', progress);
  return await startContainer(name, progress);
}

/** Reaches a server that another process started. Resolves at once; nothing is checked. */
export function attachLocalemu(descriptor: SqsDescriptor): Localemu {
  const { containerId } = descriptor;
  if (containerId === undefined) {
    const refuse = faultRefused(sqsSettings);
    const control = withoutContainer(sqsSettings);
    return { ...descriptor, ...control, createUser: refuse, refuseWrites: refuse, descriptor };
  }
  return {
    ...descriptor,
    ...controlServer(descriptor, containerId),
    createUser: (statements) => createLocalemuUser(descriptor, statements),
    refuseWrites: (queueUrl, on) => refuseWritesTo(descriptor, queueUrl, on),
    descriptor,
  };
}

async function startContainer(image: string, progress: Progress): Promise<Localemu> {
  const startedAt = Date.now();
  const port = await freePort();
  const containerId = await new LocalContainer(image)
    .withExposedPorts({ container: localemuPort, host: port })
    .withEnvironment({ ...localemuEnvironment })
    .withEntrypoint([...localemuEntrypoint])
    .startDetached();
  const server = { endpoint: `http://127.0.0.1:${port}`, region: sqsRegion, containerId };
  const descriptor = await readyOrRemoved(containerId, async () => {
    const version = await versionAt(server.endpoint);
    await works({ ...server, version, credentials: localemuRoot });
    const everything = { Effect: 'Allow', Action: ['sqs:*', 'sns:*'], Resource: '*' } as const;
    return { ...server, version, credentials: await createLocalemuUser({ ...server, version }, [everything]) };
  });
  progress(`broker: LocalEmu ${descriptor.version} works after ${seconds(Date.now() - startedAt)}`);
  return attachLocalemu(descriptor);
}

async function versionAt(endpoint: string): Promise<string> {
  const answer = await fetch(`${endpoint}/_localemu/health`, { signal: AbortSignal.timeout(5_000) });
  const { version = 'unknown' } = (await answer.json()) as { version?: string };
  return version;
}

async function works(server: SqsDescriptor): Promise<void> {
  await workOnceWithSqs(server);
  const sns = new SNSClient({ ...sqsClientSettings(server), maxAttempts: 1 });
  await sns.send(new ListTopicsCommand({})).finally(() => sns.destroy());
}

function controlServer(descriptor: SqsDescriptor, containerId: string): ContainerControl {
  const control = controlContainer(containerId);
  const kill = async (): Promise<void> => {
    // Closes the connections of clients, and lets nobody in until it starts again.
    await docker('network', 'disconnect', 'bridge', containerId);
    await saveLocalemu(control);
    await control.kill();
  };
  const start = async (): Promise<void> => {
    const networks = await docker('inspect', '--format', '{{len .NetworkSettings.Networks}}', containerId);
    if (networks === '0') {
      await docker('network', 'connect', 'bridge', containerId);
    }
    await control.start();
    await untilReady(containerId, () => works(descriptor));
  };
  return { ...control, kill, start, restart: () => kill().then(start) };
}
