import { inspect, isDeepStrictEqual } from 'node:util';
import {
  type Bus,
  type BusOptions,
  createBus,
  type DeadLetter,
  type Driver,
  type ObserveEvent,
  type QueueContract,
} from '@waybill/core';
import type { Capabilities, Queue, Topology } from '@waybill/core/driver';
import * as contracts from './contracts.ts';
import { eventually } from './eventually.ts';
import type { DriverSettings, Extent, Faults, Harness, Session } from './harness.ts';
import { History, noteEvent, recorded } from './history.ts';
import type { Program, Report } from './program.ts';
import { startWorker, type Worker } from './worker.ts';

/** What a check found wrong, with the messages that it is about. */
export class Unmet extends Error {
  readonly ids: readonly string[];

  constructor(expectation: string, ids: readonly string[] = []) {
    super(expectation);
    this.name = 'Unmet';
    this.ids = ids;
  }
}

export type BusSettings = Partial<Omit<BusOptions, 'driver' | 'uses' | 'prefix'>> & {
  readonly uses?: BusOptions['uses'];
  readonly driver?: DriverSettings;
  /** Wraps the driver below the history: to stop, fail or record its calls. */
  readonly seam?: (driver: Driver) => Driver;
};

/** What a killed process held, or a cut connection carried, is back after a lease: scenarios wait for that. */
const SETTINGS: DriverSettings = { leaseMs: 10_000 };

let runs = 0;

/** What a scenario works with: buses and worker processes of its own names, the faults, the history of its messages. */
export class Kit {
  readonly harness: Harness;
  readonly session: Session;
  readonly history: History = new History();
  /** Begins all names of this run on the broker. */
  readonly prefix: string;
  /** What all workers told, in the order it came. */
  readonly reports: Report[] = [];
  /** What all buses of this process observed. */
  readonly events: ObserveEvent[] = [];
  readonly #buses: Bus[] = [];
  readonly #workers: Worker[] = [];
  #named = 0;
  #capabilities: Capabilities | undefined;
  #closed = false;

  constructor(harness: Harness, session: Session) {
    this.harness = harness;
    this.session = session;
    runs += 1;
    this.prefix = `c${Date.now().toString(36)}${runs.toString(36)}${Math.floor(Math.random() * 1296).toString(36)}`;
  }

  get capabilities(): Capabilities {
    this.#capabilities ??= this.session.createDriver().capabilities;
    return this.#capabilities;
  }

  get faults(): Faults {
    return this.session.faults as Faults;
  }

  /** Ends the broker, or a node of it, as hard as it survives: a kill, or else a stop. `faults.start` brings it back. */
  async down(extent: Extent = 'broker'): Promise<void> {
    if (this.harness.faults.includes('kill')) await this.faults.kill(extent);
    else await this.faults.stop();
  }

  /** The broker's form of a queue, as faults take it. */
  physical(bus: Bus, queue: QueueContract): Queue {
    const found = bus.topology().queues.find(({ name }) => name === `${this.prefix}.${queue.name}`);
    if (found === undefined) throw new Error(`queue "${queue.name}" is not in this bus's uses`);
    return found;
  }

  /** A bus in this process, on a connection of its own. */
  bus({ uses, driver, seam, ...options }: BusSettings = {}): Bus {
    const name = `bus ${this.#buses.length}`;
    const made = this.session.createDriver({ ...SETTINGS, ...driver });
    const wrapped = seam === undefined ? made : seam(made);
    const bus = createBus({
      source: '/conformance',
      ...options,
      uses: uses ?? ALL,
      prefix: this.prefix,
      driver: recorded(wrapped, this.history, name),
      observe: (event) => {
        this.events.push(event);
        noteEvent(this.history, name, event);
        options.observe?.(event);
      },
    });
    this.#buses.push(bus);
    return bus;
  }

  /** A consumer in a process of its own. Resolves once messages sent from now on would arrive. */
  async worker(program: Omit<Program, 'prefix'>, settings: DriverSettings = {}): Promise<Worker> {
    // Not by how many run: two that start together would share a name.
    const name = `worker ${this.#named++}`;
    const context = {
      session: this.session,
      history: this.history,
      record: (driver: Driver, process: string) => recorded(driver, this.history, process),
      onReport: (report: Report) => void this.reports.push(report),
    };
    const worker = await startWorker(context, name, { ...program, prefix: this.prefix }, { ...SETTINGS, ...settings });
    this.#workers.push(worker);
    // It was still starting when the scenario ended.
    if (this.#closed) worker.kill();
    return worker;
  }

  /** Resolves once `check` returns something true; fails after `withinMs` saying what was awaited. */
  eventually<T>(expectation: string, check: () => T | Promise<T>, withinMs = 10_000): Promise<NonNullable<T>> {
    return eventually(expectation, check, withinMs);
  }

  /** Fails the scenario unless `condition`; the history of `ids` is printed. */
  check(condition: boolean, expectation: string, ids: readonly string[] = []): asserts condition {
    if (!condition) throw new Unmet(expectation, ids);
  }

  /** Fails the scenario unless both are equal, member by member. */
  same(actual: unknown, expected: unknown, expectation: string, ids: readonly string[] = []): void {
    if (isDeepStrictEqual(actual, expected)) return;
    throw new Unmet(`${expectation}: expected ${inspected(expected)}, got ${inspected(actual)}`, ids);
  }

  /** Fails the scenario unless `work` rejects with this code; resolves with the error. */
  async rejects(work: Promise<unknown>, code: string, expectation: string): Promise<Error & { readonly code: string }> {
    try {
      await work;
    } catch (error) {
      if ((error as { code?: unknown }).code === code) return error as Error & { readonly code: string };
      throw new Unmet(`${expectation}: expected a rejection with ${code}, got ${String(error)}`);
    }
    throw new Unmet(`${expectation}: expected a rejection with ${code}, but it resolved`);
  }

  /** All dead letters of a queue. */
  async letters(bus: Bus, queue: QueueContract): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = [];
    for await (const letter of bus.deadLetters(queue)) letters.push(letter);
    return letters;
  }

  /** What any process of a scenario can have made of the suite's contracts. */
  #topology(): Topology {
    const uses = this.capabilities.ordering === 'none' ? ALL : [...ALL, contracts.track];
    const driver = this.session.createDriver();
    return createBus({ source: '/conformance', driver, uses, prefix: this.prefix }).topology();
  }

  /** Ends everything that the scenario started and removes what it made. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const worker of this.#workers) if (worker.alive) worker.kill();
    await Promise.allSettled(this.#workers.map((worker) => worker.ended));
    await Promise.allSettled(this.#buses.map((bus) => bus.close({ deadlineMs: 3_000 })));
    await this.session.close(this.prefix, this.#topology());
  }
}

const inspected = (value: unknown): string => inspect(value, { depth: 5, breakLength: Infinity, maxArrayLength: 50 });

const ALL = [
  contracts.Noted,
  contracts.Moved,
  contracts.Jumped,
  contracts.Filed,
  contracts.desk,
  contracts.archive,
  contracts.cabinet,
  contracts.outbox,
] as const;
