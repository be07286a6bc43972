import type { FaultName, Harness } from '@waybill/conformance';
import { printProgress } from '../progress.ts';
import { openProxies } from '../proxies.ts';
import { type Rabbitmq, startRabbitmq } from '../rabbitmq.ts';
import { rabbitmqPassword, type RabbitmqVersion, rabbitmqVersions } from '../rabbitmq-settings.ts';
import { setting } from '../setting.ts';
import { startToxiproxy } from '../toxiproxy.ts';
import { type Broker, RabbitmqSession, sweepRabbitmq } from './rabbitmq-session.ts';
import { forgetTraces } from './traces.ts';

const NETWORK: readonly FaultName[] = ['cut', 'blackHole', 'delay', 'loseConfirms'];
const CONTAINER: readonly FaultName[] = ['pause', 'kill', 'start'];
const ALWAYS: readonly FaultName[] = ['refuseDeadLane', 'kill-process', 'freeze-process', 'wrong-password'];

export interface RabbitmqHarnessOptions {
  readonly version: RabbitmqVersion;
  /** Of three, one can be killed alone. */
  readonly nodes: 1 | 3;
  /** Scenarios at the same time. */
  readonly parallel: number;
}

/**
 * A real RabbitMQ of that version and so many nodes, with every fault for real. It is started by the first scenario. One
 * that is given by URL is left as it was, and so without the faults of its network and its containers.
 */
export function rabbitmqHarness(options: RabbitmqHarnessOptions): Harness {
  const { version, nodes, parallel } = options;
  let running: Promise<Broker> | undefined;
  const start = (): Promise<Broker> => {
    running ??= startBroker(options);
    return running;
  };
  const { urlSetting } = rabbitmqVersions[version];
  const given = setting(urlSetting);
  return {
    name: 'rabbitmq',
    version: async () => versionOf((await start()).rabbitmq, nodes),
    nodes,
    faults: given === undefined ? [...NETWORK, ...CONTAINER, ...ALWAYS] : ALWAYS,
    ...(given === undefined ? {} : { without: withoutContainers(`the broker is given by ${urlSetting}`) }),
    parallel,
    depthWithinMs: 30_000,
    secrets: secretsOf(given),
    open: async () => RabbitmqSession.open(await start()),
    async close() {
      const broker = await running;
      await Promise.allSettled([broker?.rabbitmq.stop(), broker?.toxiproxy?.stop()]);
      forgetTraces();
    },
  };
}

/** A cluster of several nodes is a line of its own in reports. */
function versionOf({ version }: Rabbitmq, nodes: number): string {
  return nodes === 1 ? version : `${version}, ${nodes} nodes`;
}

async function startBroker({ version, nodes }: RabbitmqHarnessOptions): Promise<Broker> {
  const progress = printProgress();
  if (setting(rabbitmqVersions[version].urlSetting) !== undefined) {
    const rabbitmq = await startRabbitmq({ version, progress });
    await sweepRabbitmq(rabbitmq.url, progress);
    return { rabbitmq };
  }
  const starts = [startRabbitmq({ version, nodes, progress }), startToxiproxy(progress)] as const;
  const [rabbitmq, toxiproxy] = await Promise.all(starts);
  return { rabbitmq, toxiproxy, openProxies: () => openProxies(toxiproxy.descriptor, rabbitmq.urls) };
}

function withoutContainers(why: string): NonNullable<Harness['without']> {
  return Object.fromEntries([...NETWORK, ...CONTAINER].map((fault) => [fault, why]));
}

function secretsOf(given: string | undefined): readonly string[] {
  const password = given === undefined ? rabbitmqPassword : decodeURIComponent(new URL(given).password);
  return [password, encodeURIComponent(password)];
}
