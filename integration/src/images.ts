import { spawn } from 'node:child_process';

import { lastLines, run } from './command.ts';
import { ensureEngine } from './engine.ts';
import { withLock } from './lock.ts';
import { imageFile } from './paths.ts';
import { type Progress, seconds, silent } from './progress.ts';
import { setting } from './setting.ts';

export type ImageKind =
  | 'elasticmq'
  | 'kafka'
  | 'localemu'
  | 'rabbitmq-current'
  | 'rabbitmq-old'
  | 'redis'
  | 'toxiproxy';

export interface Image {
  readonly name: string;
  readonly source: 'official' | 'built';
}

interface Recipe {
  readonly setting: string;
  readonly official: string;
  readonly built: string;
}

const recipes: Readonly<Record<ImageKind, Recipe>> = {
  'rabbitmq-current': {
    setting: 'WAYBILL_RABBITMQ_IMAGE',
    official: 'rabbitmq:4.3',
    built: 'waybill/rabbitmq:4.3',
  },
  'rabbitmq-old': {
    setting: 'WAYBILL_RABBITMQ_OLD_IMAGE',
    official: 'rabbitmq:4.0',
    built: 'waybill/rabbitmq:4.0',
  },
  kafka: {
    setting: 'WAYBILL_KAFKA_IMAGE',
    official: 'apache/kafka:4.3.1',
    built: 'waybill/kafka:4.3.1',
  },
  // The one on Java, whose memory JAVA_OPTS bounds.
  elasticmq: {
    setting: 'WAYBILL_ELASTICMQ_IMAGE',
    official: 'softwaremill/elasticmq:1.7.1',
    built: 'waybill/elasticmq:1.7.1',
  },
  localemu: {
    setting: 'WAYBILL_LOCALEMU_IMAGE',
    official: 'localemu/localemu:1.3.2',
    built: 'waybill/localemu:1.3.2',
  },
  redis: {
    setting: 'WAYBILL_REDIS_IMAGE',
    official: 'redis:8.0',
    built: 'waybill/redis:8.0',
  },
  toxiproxy: {
    setting: 'WAYBILL_TOXIPROXY_IMAGE',
    official: 'ghcr.io/shopify/toxiproxy:2.12.0',
    built: 'waybill/toxiproxy:2.12.0',
  },
};

/** Of what nobody can build from packages. */
export type OfficialKind = 'service-bus-emulator' | 'service-bus-sql';

const officials: Readonly<Record<OfficialKind, Pick<Recipe, 'setting' | 'official'>>> = {
  // From 2.0.0 on entities can be made while it runs.
  'service-bus-emulator': {
    setting: 'WAYBILL_SERVICE_BUS_EMULATOR_IMAGE',
    official: 'mcr.microsoft.com/azure-messaging/servicebus-emulator:2.0.1',
  },
  'service-bus-sql': {
    setting: 'WAYBILL_SERVICE_BUS_SQL_IMAGE',
    official: 'mcr.microsoft.com/mssql/server:2022-CU14-ubuntu-22.04',
  },
};

/**
 * Resolves with the name of an image that is here or was pulled, or says why it cannot be had. Rejects for one that a
 * setting names and that cannot be had.
 */
export async function pullOfficial(
  kind: OfficialKind,
  progress: Progress = silent,
): Promise<{ readonly name: string } | { readonly refusal: string }> {
  const { setting: variable, official } = officials[kind];
  const named = setting(variable);
  const name = named ?? official;
  await ensureEngine(progress);
  const refusal = (await isHere(name)) ? undefined : await withLock(`image-${kind}`, progress, () => pull(name));
  if (refusal === undefined) {
    progress(`image ${kind}: ${name}`);
    return { name };
  }
  if (named !== undefined) throw new Error(`${variable} names ${name}, which cannot be pulled: ${refusal}`);
  return { refusal: `${name} cannot be pulled: ${refusal}` };
}

/**
 * Resolves with the image to start: the one of the setting or the official one when it is here or can be pulled, else
 * an equivalent built from package registries. Says in one line which it took and why. Rejects with what to do.
 */
export async function resolveImage(kind: ImageKind, progress: Progress = silent): Promise<Image> {
  const here = await findImage(kind, progress);
  return here ?? (await withLock(`image-${kind}`, progress, () => obtain(kind, progress)));
}

async function findImage(kind: ImageKind, progress: Progress): Promise<Image | undefined> {
  const { built } = recipes[kind];
  const [wanted, isSet] = wantedImage(kind);
  if (await isHere(wanted)) {
    progress(`image ${kind}: ${wanted}, which is on this machine`);
    return { name: wanted, source: 'official' };
  }
  if (!isSet && (await isHere(built))) {
    progress(`image ${kind}: ${built}, built here before because ${wanted} could not be pulled`);
    return { name: built, source: 'built' };
  }
  return undefined;
}

async function obtain(kind: ImageKind, progress: Progress): Promise<Image> {
  // Another process may have built it while this one waited for the lock.
  const here = await findImage(kind, silent);
  if (here !== undefined) {
    progress(`image ${kind}: ${here.name}, obtained by another process`);
    return here;
  }
  const [wanted, isSet] = wantedImage(kind);
  const startedAt = Date.now();
  const refusal = await pull(wanted);
  if (refusal === undefined) {
    progress(`image ${kind}: ${wanted}, pulled in ${seconds(Date.now() - startedAt)}`);
    return { name: wanted, source: 'official' };
  }
  if (isSet) {
    throw new Error(`${recipes[kind].setting} names ${wanted}, which cannot be pulled: ${refusal}`);
  }
  progress(`image ${kind}: ${wanted} cannot be pulled (${refusal}), builds ${recipes[kind].built} from packages`);
  const tick = setInterval(() => progress(`image ${kind}: still builds`), 20_000);
  await build(kind, wanted).finally(() => clearInterval(tick));
  progress(`image ${kind}: ${recipes[kind].built}, built from packages in ${seconds(Date.now() - startedAt)}`);
  return { name: recipes[kind].built, source: 'built' };
}

function wantedImage(kind: ImageKind): [name: string, isSet: boolean] {
  const named = setting(recipes[kind].setting);
  return [named ?? recipes[kind].official, named !== undefined];
}

async function isHere(image: string): Promise<boolean> {
  return (await run('docker', ['image', 'inspect', '--format', '{{.Id}}', image])).code === 0;
}

// A registry must answer soon; once it does, the download may take its time.
const answerWithinMs = 15_000;
const downloadWithinMs = 600_000;

function pull(image: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn('docker', ['pull', image], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    let timer = setTimeout(() => child.kill('SIGKILL'), answerWithinMs);
    child.stdout.once('data', () => {
      clearTimeout(timer);
      timer = setTimeout(() => child.kill('SIGKILL'), downloadWithinMs);
    });
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('close', (code) => {
      clearTimeout(timer);
      const reason = stderr === '' ? 'no answer in time' : (stderr.trim().split('\n').at(-1) ?? '');
      resolve(code === 0 ? undefined : reason.replace(/^Error response from daemon: /, ''));
    });
  });
}

async function build(kind: ImageKind, wanted: string): Promise<void> {
  const result = await run('sh', [imageFile('build.sh'), kind], { withinMs: 1_200_000 });
  if (result.code !== 0) {
    throw new Error(
      `${wanted} cannot be pulled and no equivalent can be built here: ${lastLines(result)}\n` +
        `Pull or load ${wanted}, or name another image with ${recipes[kind].setting}.`,
    );
  }
}
