import type { FaultName, Harness } from '@waybill/conformance';
import { startElasticmq } from '../elasticmq.ts';
import { startLocalemu } from '../localemu.ts';
import { printProgress } from '../progress.ts';
import { startProxy } from '../proxy.ts';
import { givenSqs, sqsSettings } from '../sqs-server.ts';
import { startToxiproxy } from '../toxiproxy.ts';
import { type SqsServer, SqsSession } from './sqs-session.ts';
import { sweepSqs } from './sqs-traces.ts';
import { forgetTraces } from './traces.ts';

const NETWORK: readonly FaultName[] = ['cut', 'blackHole', 'delay', 'loseConfirms', 'pause'];
const PROCESSES: readonly FaultName[] = ['kill-process', 'freeze-process'];

/**
 * LocalEmu, which has SQS and SNS and refuses what a policy does not allow, or what is given by the environment: AWS
 * itself, for one. It is started by the first scenario. What is given has no faults but those of processes.
 */
export function localemuHarness(): Harness {
  const isGiven = givenSqs() !== undefined;
  const faults: readonly FaultName[] = [...NETWORK, 'stop', 'start', 'refuseDeadLane', 'wrong-password'];
  const why = `the server is given by ${sqsSettings}`;
  return {
    ...sqsHarness(startSqs),
    faults: isGiven ? PROCESSES : [...faults, ...PROCESSES],
    without: isGiven
      ? Object.fromEntries([...faults, 'kill' as const].map((fault) => [fault, why]))
      : { kill: 'it keeps what it stored through a stop only; SIGKILL is for ElasticMQ' },
  };
}

/** FIFO order does not survive a restart there: https://github.com/softwaremill/elasticmq keeps no sequence on disk. */
const REORDERS = 'it loses the order within a group when it is started again; LocalEmu keeps it';
const SLOW = 'with a thousand groups in flight a request takes seconds there; LocalEmu has no such limit';

/** ElasticMQ on disk: queues only, with a stand-in for topics. */
export function elasticmqHarness(): Harness {
  return {
    ...sqsHarness(startQueues),
    // More of them have it answer in tens of seconds.
    parallel: 2,
    faults: [...NETWORK, 'kill', 'start', 'refuseDeadLane', ...PROCESSES],
    without: { 'wrong-password': 'it takes every key', stop: 'it is killed' },
    except: { 'recovery-broker-killed': REORDERS, 'churn-order': REORDERS, 'order-full-window': SLOW },
  };
}

function sqsHarness(startServer: () => Promise<SqsServer>): Omit<Harness, 'faults' | 'without'> {
  let running: Promise<SqsServer> | undefined;
  const start = (): Promise<SqsServer> => {
    running ??= startServer();
    return running;
  };
  return {
    name: 'sqs',
    version: async () => versionOf(await start()),
    parallel: 4,
    secrets: ['wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'],
    open: async () => SqsSession.open(await start()),
    async close() {
      const broker = await running;
      await Promise.allSettled([broker?.server.stop(), broker?.toxiproxy?.stop()]);
      forgetTraces();
    },
  };
}

/** Each server is a line of its own in reports. */
function versionOf({ server, localemu }: SqsServer): string {
  if (server.containerId === undefined) return server.version;
  return `${localemu === undefined ? 'ElasticMQ' : 'LocalEmu'} ${server.version}`;
}

async function startSqs(): Promise<SqsServer> {
  const progress = printProgress();
  const given = givenSqs();
  if (given !== undefined) {
    const server = await startLocalemu({ progress });
    await sweepSqs(given, progress);
    return { server };
  }
  const [localemu, toxiproxy] = await Promise.all([startLocalemu({ progress }), startToxiproxy(progress)]);
  return behindProxies({ server: localemu, localemu, toxiproxy });
}

async function startQueues(): Promise<SqsServer> {
  const progress = printProgress();
  const [server, toxiproxy] = await Promise.all([startElasticmq({ progress }), startToxiproxy(progress)]);
  return behindProxies({ server, toxiproxy });
}

function behindProxies(broker: SqsServer): SqsServer {
  const { server, toxiproxy } = broker;
  if (toxiproxy === undefined) return broker;
  return { ...broker, openProxy: () => startProxy(toxiproxy.descriptor, server.endpoint ?? '') };
}
