import type { FaultName, Harness } from '@waybill/conformance';
import { type Kafka, startKafka } from '../kafka.ts';
import { kafkaProxies } from '../kafka-proxies.ts';
import { kafkaPassword } from '../kafka-settings.ts';
import { printProgress } from '../progress.ts';
import { setting } from '../setting.ts';
import { startToxiproxy, type ToxiproxyServer } from '../toxiproxy.ts';
import { type Cluster, KafkaSession } from './kafka-session.ts';
import { type IsOurs, removeAll, sweepKafka } from './kafka-traces.ts';
import { forgetTraces } from './traces.ts';

const BROKERS_SETTING = 'WAYBILL_KAFKA_BROKERS';
const CONTAINERS: readonly FaultName[] = [
  ...(['cut', 'blackHole', 'delay', 'loseConfirms'] as const),
  ...(['pause', 'kill', 'start', 'wrong-password'] as const),
];
const ALWAYS: readonly FaultName[] = ['refuseDeadLane', 'kill-process', 'freeze-process'];

interface Running extends Cluster {
  readonly toxiproxy?: ToxiproxyServer;
}

export interface KafkaHarnessOptions {
  /** Of three, one can be killed alone. */
  readonly nodes: 1 | 3;
  /** Scenarios at the same time. */
  readonly parallel: number;
}

/**
 * A real Kafka of so many nodes, with every fault for real. It is started by the first scenario. One that is given by its
 * brokers is left as it was, and so without the faults of its network, its containers and its passwords.
 */
export function kafkaHarness({ nodes, parallel }: KafkaHarnessOptions): Harness {
  let running: Promise<Running> | undefined;
  const made: IsOurs[] = [];
  const start = (): Promise<Running> => {
    running ??= startCluster(nodes);
    return running;
  };
  const isGiven = setting(BROKERS_SETTING) !== undefined;
  const why = `the broker is given by ${BROKERS_SETTING}`;
  return {
    name: 'kafka',
    version: async () => versionOf((await start()).kafka, nodes),
    nodes,
    faults: isGiven ? ALWAYS : [...CONTAINERS, ...ALWAYS],
    ...(isGiven ? { without: Object.fromEntries(CONTAINERS.map((fault) => [fault, why])) } : {}),
    parallel,
    depthWithinMs: 30_000,
    secrets: isGiven ? [] : [kafkaPassword, encodeURIComponent(kafkaPassword)],
    open: async () => KafkaSession.open(await start(), (isOurs) => void made.push(isOurs)),
    async close() {
      const cluster = await running;
      if (isGiven && cluster !== undefined) await leave(cluster.kafka, made);
      await Promise.allSettled([cluster?.kafka.stop(), cluster?.toxiproxy?.stop()]);
      forgetTraces();
    },
  };
}

/** A cluster of several nodes is a line of its own in reports. */
function versionOf({ version }: Kafka, nodes: number): string {
  return nodes === 1 ? version : `${version}, ${nodes} nodes`;
}

/** Groups of killed processes have members for a while after their session has closed. */
async function leave({ brokers }: Kafka, made: readonly IsOurs[]): Promise<void> {
  await removeAll(brokers, (name) => made.some((isOurs) => isOurs(name)));
}

async function startCluster(nodes: 1 | 3): Promise<Running> {
  const progress = printProgress();
  if (setting(BROKERS_SETTING) !== undefined) {
    const kafka = await startKafka({ progress });
    await sweepKafka(kafka.brokers, progress);
    return { kafka };
  }
  const [kafka, toxiproxy] = await Promise.all([
    startKafka({ nodes, security: 'sasl', progress }),
    startToxiproxy(progress),
  ]);
  const brokers = kafka.secured?.sasl ?? [];
  return { kafka, toxiproxy, openProxies: () => kafkaProxies(toxiproxy.descriptor, { brokers }) };
}
