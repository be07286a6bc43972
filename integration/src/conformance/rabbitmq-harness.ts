import type { FaultName, Harness } from '@waybill/conformance';
import { printProgress } from '../progress.ts';
import { startRabbitmq } from '../rabbitmq.ts';
import { rabbitmqPassword, type RabbitmqVersion, rabbitmqVersions } from '../rabbitmq-settings.ts';
import { setting } from '../setting.ts';
import { startProxy } from '../proxy.ts';
import { startToxiproxy } from '../toxiproxy.ts';
import { type Broker, RabbitmqSession, sweepRabbitmq } from './rabbitmq-session.ts';
import { forgetTraces } from './traces.ts';

const NETWORK: readonly FaultName[] = ['cut', 'blackHole', 'delay', 'loseConfirms'];
const CONTAINER: readonly FaultName[] = ['pause', 'kill', 'start'];
const ALWAYS: readonly FaultName[] = ['refuseDeadLane', 'kill-process', 'freeze-process', 'wrong-password'];

/**
 * A real RabbitMQ of that version, with every fault for real. It is started by the first scenario. One that is given by
 * URL is left as it was, and so without the faults of its network and its container.
 */
export function rabbitmqHarness(version: RabbitmqVersion): Harness {
  let running: Promise<Broker> | undefined;
  const start = (): Promise<Broker> => {
    running ??= startBroker(version);
    return running;
  };
  const { urlSetting } = rabbitmqVersions[version];
  const given = setting(urlSetting);
  return {
    name: 'rabbitmq',
    version: async () => (await start()).rabbitmq.version,
    faults: given === undefined ? [...NETWORK, ...CONTAINER, ...ALWAYS] : ALWAYS,
    ...(given === undefined ? {} : { without: withoutContainers(`the broker is given by ${urlSetting}`) }),
    parallel: 6,
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

async function startBroker(version: RabbitmqVersion): Promise<Broker> {
  const progress = printProgress();
  if (setting(rabbitmqVersions[version].urlSetting) !== undefined) {
    const rabbitmq = await startRabbitmq({ version, progress });
    await sweepRabbitmq(rabbitmq.url, progress);
    return { rabbitmq };
  }
  const [rabbitmq, toxiproxy] = await Promise.all([startRabbitmq({ version, progress }), startToxiproxy(progress)]);
  return { rabbitmq, toxiproxy, openProxy: () => startProxy(toxiproxy.descriptor, rabbitmq.url) };
}

function withoutContainers(why: string): NonNullable<Harness['without']> {
  return Object.fromEntries([...NETWORK, ...CONTAINER].map((fault) => [fault, why]));
}

function secretsOf(given: string | undefined): readonly string[] {
  const password = given === undefined ? rabbitmqPassword : decodeURIComponent(new URL(given).password);
  return [password, encodeURIComponent(password)];
}
