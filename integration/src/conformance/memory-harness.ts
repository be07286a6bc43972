import { type DriverSettings, type FaultName, type Harness, type Session, wrapDriver } from '@waybill/conformance';
import type { Driver, OutgoingMessage } from '@waybill/core';
import { BatchError, WaybillError } from '@waybill/core';
import { memory, MemoryBroker, type MemoryDriver, type MemoryOptions } from '@waybill/memory';

const ONE_PROCESS = 'everything runs in this process';
const NO_NETWORK = 'there is no network';

/** A memory driver with these options: faults are what can be done in a process, processes are simulated. */
export function memoryHarness(name: string, { capabilities = {}, ...options }: MemoryOptions): Harness {
  // Copies to the dead lane can be refused, and a move within the broker cannot.
  const copiesLetters = (capabilities.reject ?? 'annotated') !== 'annotated';
  const faults: readonly FaultName[] = ['cut', 'kill', 'start', 'kill-process'];
  return {
    name,
    version: () => Promise.resolve(`Node ${process.versions.node}`),
    faults: copiesLetters ? [...faults, 'refuseDeadLane'] : faults,
    without: {
      blackHole: NO_NETWORK,
      delay: NO_NETWORK,
      loseConfirms: NO_NETWORK,
      pause: NO_NETWORK,
      'freeze-process': ONE_PROCESS,
      'wrong-password': 'there are no credentials',
      refuseDeadLane: 'the broker moves dead letters itself',
    },
    parallel: 12,
    isolated: true,
    depthWithinMs: 10_000,
    open: () => Promise.resolve(new MemorySession({ ...options, capabilities })),
    close: () => Promise.resolve(),
  };
}

class MemorySession implements Session {
  readonly #options: MemoryOptions;
  readonly #broker = new MemoryBroker();
  readonly #drivers = new Set<MemoryDriver>();
  readonly #refused = new Set<string>();
  readonly faults: Session['faults'] = {
    cut: async () => this.#drivers.forEach((driver) => driver.connection.cut()),
    kill: async () => this.#broker.stop(),
    start: async () => this.#broker.start(),
    refuseDeadLane: async (queue, on) => void (on ? this.#refused.add(queue.name) : this.#refused.delete(queue.name)),
  };

  constructor(options: MemoryOptions) {
    this.#options = options;
  }

  createDriver({ leaseMs, maxDelayMs, envelope }: DriverSettings = {}): Driver {
    const capabilities = {
      ...this.#options.capabilities,
      ...(maxDelayMs === undefined ? {} : { maxDelayMs }),
      ...(envelope === undefined ? {} : { envelope }),
    };
    const lease = leaseMs === undefined ? {} : { leaseMs };
    const driver = memory({ ...this.#options, ...lease, broker: this.#broker, capabilities });
    this.#drivers.add(driver);
    return refusing(driver, this.#refused);
  }

  killDriver(driver: Driver): void {
    for (const own of this.#drivers)
      if (own.connection === (driver as Partial<MemoryDriver>).connection) own.connection.kill();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** `driver`, whose copies to the dead lanes in `refused` are not stored. */
function refusing(driver: MemoryDriver, refused: ReadonlySet<string>): Driver {
  const isRefused = ({ target }: OutgoingMessage): boolean =>
    'queue' in target && target.lane === 'dead' && refused.has(target.queue);
  const send: Driver['send'] = async (batch, signal) => {
    const failures = batch.flatMap((message, index) =>
      isRefused(message) ? [{ index, error: new WaybillError('UNAVAILABLE', 'The dead lane takes nothing now.') }] : [],
    );
    const taken = batch.filter((message) => !isRefused(message));
    if (taken.length > 0) await driver.send(taken, signal);
    if (failures.length > 0) throw new BatchError(failures, batch.length);
  };
  return wrapDriver(driver, { send });
}
