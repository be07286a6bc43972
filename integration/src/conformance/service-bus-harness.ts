import type { FaultName, Harness } from '@waybill/conformance';
import { printProgress } from '../progress.ts';
import { startProxy } from '../proxy.ts';
import { chooseServiceBus } from '../service-bus.ts';
import { type ServiceBusEmulator, startServiceBusEmulator } from '../service-bus-emulator.ts';
import {
  hostOf,
  keyOf,
  type ServiceBusDescriptor,
  serviceBusSettings,
  workOnceWithServiceBus,
} from '../service-bus-server.ts';
import { startServiceBusStandin } from '../service-bus-standin.ts';
import { sweepLeftovers } from '../sweep.ts';
import { startToxiproxy, type ToxiproxyServer } from '../toxiproxy.ts';
import { type Place, ServiceBusSession, type Ways } from './service-bus-session.ts';
import { removeAll, sweepServiceBus } from './service-bus-traces.ts';
import { forgetTraces } from './traces.ts';

const NETWORK: readonly FaultName[] = ['cut', 'blackHole', 'delay', 'loseConfirms'];
const SERVER: readonly FaultName[] = ['pause', 'kill', 'start'];
const ALWAYS: readonly FaultName[] = ['kill-process', 'freeze-process', 'wrong-password'];
const MOVES = 'the broker moves dead letters itself';
const POLICY = 'conformance';
/** With all that connection strings, urls and signatures treat in their own way. */
const KEY = 'S@s/K3y+conf0rmance==';

type ServiceBusHarness = Omit<Harness, 'faults' | 'without' | 'open' | 'close' | 'version'>;

/** A namespace or another server that is given by the environment, else Microsoft's emulator, else a stand-in. */
export async function serviceBusHarness(): Promise<Harness> {
  const progress = printProgress();
  const choice = await chooseServiceBus({ acceptLicense: true, progress });
  if (choice.kind === 'given') return givenHarness(choice.server);
  if (choice.kind === 'stand-in') return standinBecause(choice.why);
  try {
    await sweepLeftovers(progress);
    return emulatorHarness(await startServiceBusEmulator({ acceptLicense: true, images: choice.images, progress }));
  } catch (error) {
    return standinBecause(`the emulator did not start: ${String(error)}`);
  }

  function standinBecause(why: string): Harness {
    progress(`broker: a stand-in for Azure Service Bus, because ${why}`);
    return standinHarness();
  }
}

/** One that is given is left as it was, and so without the faults of its network and of itself. */
function givenHarness(given: ServiceBusDescriptor): Harness {
  let running: Promise<void> | undefined;
  const key = keyOf(given.connectionString);
  const why = `the server is given by ${serviceBusSettings}`;
  const place: Place = {
    server: given,
    runBy: process.pid,
    leave: (prefix) => removeAll(given, (name) => name.startsWith(prefix)),
  };
  return {
    ...common(key === undefined ? [] : [key]),
    version: () => Promise.resolve(given.version),
    faults: ALWAYS,
    without: {
      ...Object.fromEntries([...NETWORK, ...SERVER].map((fault) => [fault, why])),
      refuseDeadLane: MOVES,
    },
    parallel: 3,
    open: async () => {
      running ??= lookAt(given);
      await running;
      return new ServiceBusSession(place);
    },
    close: async () => forgetTraces(),
  };
}

/** One for all scenarios, one at a time: it takes ten connections and fifty entities. */
export function emulatorHarness(emulator: ServiceBusEmulator): Harness {
  let running: Promise<ToxiproxyServer> | undefined;
  const forgets = 'it keeps nothing through its end';
  return {
    ...common([]),
    version: () => Promise.resolve(emulator.version),
    faults: [...NETWORK, 'pause', 'kill-process', 'freeze-process'],
    without: {
      kill: forgets,
      stop: forgets,
      start: forgets,
      refuseDeadLane: MOVES,
      'wrong-password': 'its key is the same everywhere, and no secret',
    },
    parallel: 1,
    open: async () => {
      running ??= startToxiproxy(printProgress());
      return new ServiceBusSession({
        server: emulator,
        ways: await openWays(await running, emulator),
        faults: { pause: (on) => (on ? emulator.pause() : emulator.unpause()) },
        leave: (prefix) => removeAll(emulator, (name) => name.startsWith(prefix)),
      });
    },
    close: async () => {
      await Promise.allSettled([emulator.stop(), running?.then((toxiproxy) => toxiproxy.stop())]);
    },
  };
}

/**
 * A stand-in for Azure Service Bus, one for each scenario: a process that speaks what the client speaks, with every fault
 * for real. What the service itself does remains to be seen there.
 */
function standinHarness(): Harness {
  let running: Promise<ToxiproxyServer> | undefined;
  return {
    ...common([KEY]),
    version: () => Promise.resolve('stand-in'),
    faults: [...NETWORK, ...SERVER, ...ALWAYS],
    without: { refuseDeadLane: MOVES },
    // Each has a process of its own for its broker, and waits more than it computes.
    parallel: 3,
    isolated: true,
    depthWithinMs: 30_000,
    open: async () => {
      running ??= startToxiproxy(printProgress());
      return new ServiceBusSession(await startPlace(await running));
    },
    close: async () => (await running)?.stop(),
  };
}

function common(keys: readonly string[]): ServiceBusHarness {
  return { name: 'service-bus', secrets: keys.flatMap((key) => [key, encodeURIComponent(key)]) };
}

async function lookAt(given: ServiceBusDescriptor): Promise<void> {
  const progress = printProgress();
  await workOnceWithServiceBus(given);
  progress(`broker: Service Bus of ${serviceBusSettings}, ${hostOf(given.connectionString)}, no container`);
  await sweepServiceBus(given, progress);
}

async function startPlace(toxiproxy: ToxiproxyServer): Promise<Place> {
  const policies = [{ name: POLICY, key: KEY, claims: ['Manage', 'Send', 'Listen'] as const }];
  const standin = await startServiceBusStandin({ access: { policies } });
  const connectionString = `Endpoint=sb://127.0.0.1:${standin.port};SharedAccessKeyName=${POLICY};SharedAccessKey=${KEY};UseDevelopmentEmulator=true;`;
  const server = { connectionString, managementUrl: standin.managementUrl, version: 'stand-in' };
  return {
    server,
    ways: await openWays(toxiproxy, server),
    faults: {
      pause: async (on) => (on ? standin.pause() : standin.unpause()),
      kill: () => standin.kill(),
      start: () => standin.start(),
    },
    leave: () => standin.stop(),
  };
}

async function openWays(
  { descriptor }: ToxiproxyServer,
  server: Required<Pick<ServiceBusDescriptor, 'connectionString' | 'managementUrl'>>,
): Promise<Ways> {
  return [
    await startProxy(descriptor, `http://${hostOf(server.connectionString)}/`),
    await startProxy(descriptor, `${server.managementUrl}/`),
  ];
}
