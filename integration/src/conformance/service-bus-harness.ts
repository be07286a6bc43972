import type { FaultName, Harness } from '@waybill/conformance';
import { printProgress } from '../progress.ts';
import { startProxy } from '../proxy.ts';
import { startServiceBusStandin } from '../service-bus-standin.ts';
import { startToxiproxy, type ToxiproxyServer } from '../toxiproxy.ts';
import { type Broker, ServiceBusSession } from './service-bus-session.ts';

const FAULTS: readonly FaultName[] = [
  ...(['cut', 'blackHole', 'delay', 'loseConfirms', 'pause', 'kill', 'start'] as const),
  ...(['kill-process', 'freeze-process', 'wrong-password'] as const),
];
const POLICY = 'conformance';
/** With all that connection strings, urls and signatures treat in their own way. */
const KEY = 'S@s/K3y+conf0rmance==';

/**
 * A stand-in for Azure Service Bus, one for each scenario: a process that speaks what the client speaks, with every fault
 * for real. What the service itself does remains to be seen there.
 */
export function serviceBusHarness(): Harness {
  let running: Promise<ToxiproxyServer> | undefined;
  const open = async (): Promise<ServiceBusSession> => {
    running ??= startToxiproxy(printProgress());
    return new ServiceBusSession(await startBroker(await running));
  };
  return {
    name: 'service-bus',
    version: () => Promise.resolve('stand-in'),
    faults: FAULTS,
    without: { refuseDeadLane: 'the broker moves dead letters itself' },
    parallel: 3,
    isolated: true,
    depthWithinMs: 30_000,
    secrets: [KEY, encodeURIComponent(KEY)],
    open,
    close: async () => (await running)?.stop(),
  };
}

async function startBroker({ descriptor }: ToxiproxyServer): Promise<Broker> {
  const policies = [{ name: POLICY, key: KEY, claims: ['Manage', 'Send', 'Listen'] as const }];
  const standin = await startServiceBusStandin({ access: { policies } });
  const amqp = await startProxy(descriptor, `http://127.0.0.1:${standin.port}/`);
  const management = await startProxy(descriptor, `${standin.managementUrl}/`);
  const connectionString = `Endpoint=sb://127.0.0.1;SharedAccessKeyName=${POLICY};SharedAccessKey=${KEY};UseDevelopmentEmulator=true;`;
  return { standin, connectionString, proxies: [amqp, management] };
}
