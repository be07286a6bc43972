import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { CreateDriver, Harness, Session } from '@waybill/conformance';
import { rabbitmq } from '@waybill/rabbitmq';

const exec = promisify(execFile);
const url = process.env['RABBITMQ_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';
/** The broker's container, by name or id. */
const container = process.env['BROKER_CONTAINER'] ?? 'broker';

/** Makes the driver as your service does. Worker processes import it, too. */
export const createDriver: CreateDriver = (_options, { maxDelayMs, envelope, password }) =>
  rabbitmq({
    url: withPassword(password),
    // Scenarios wait until a dead connection is noticed, which takes two of these.
    heartbeatSeconds: 5,
    ...(maxDelayMs === undefined ? {} : { maxDelayMs }),
    ...(envelope === undefined ? {} : { envelope }),
  });

export const harness: Harness = {
  name: 'rabbitmq',
  version: async () => (await inBroker('rabbitmqctl', 'version')).trim(),
  faults: ['kill', 'start', 'pause', 'kill-process', 'freeze-process', 'wrong-password'],
  without: Object.fromEntries(
    (['cut', 'blackHole', 'delay', 'loseConfirms'] as const).map((fault) => [fault, 'there is no proxy before it']),
  ),
  secrets: [decodeURIComponent(new URL(url).password)],
  open: () => Promise.resolve(session),
  close: () => Promise.resolve(),
};

const session: Session = {
  createDriver: (settings = {}) => createDriver({}, settings),
  worker: { url: import.meta.url, options: {} },
  faults: {
    async kill() {
      // Names of quorum queues go to disk half a second late; a queue that is younger would come back empty.
      await inBroker('rabbitmqctl', 'eval', '[ok = dets:sync(Table) || Table <- dets:all()].');
      await exec('docker', ['kill', container]);
    },
    async start() {
      await exec('docker', ['start', container]);
      await ready();
    },
    async pause(on) {
      await exec('docker', [on ? 'pause' : 'unpause', container]);
    },
  },
  // The broker goes with the job.
  close: () => Promise.resolve(),
};

async function ready(): Promise<void> {
  for (const until = Date.now() + 60_000; ; await sleep(500)) {
    try {
      return void (await inBroker('rabbitmq-diagnostics', '--quiet', 'check_port_connectivity'));
    } catch (error) {
      if (Date.now() > until) throw error;
    }
  }
}

async function inBroker(...command: readonly string[]): Promise<string> {
  return (await exec('docker', ['exec', container, ...command])).stdout;
}

function withPassword(password: string | undefined): string {
  const address = new URL(url);
  if (password !== undefined) address.password = encodeURIComponent(password);
  return address.href;
}
