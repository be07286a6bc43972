import type { Driver } from '@waybill/core';
import type { Queue, Topology } from '@waybill/core/driver';

/** `node`: one is enough, if the broker has several and goes on without it. @default 'broker' */
export type Extent = 'broker' | 'node';

/** What can be done to a broker or its network while a scenario runs. */
export interface Faults {
  /** Breaks every open connection of the session; new ones are taken. */
  cut(): Promise<void>;
  /** While on, nothing gets through in either direction and nobody is told. */
  blackHole(on: boolean): Promise<void>;
  /** Adds to every answer of the broker; 0 ends it. */
  delay(ms: number): Promise<void>;
  /** While on, the broker stores what it is sent, and its answers get lost. */
  loseConfirms(on: boolean): Promise<void>;
  /** While on, the broker hangs, with all its nodes: connections stay open, nothing is answered. */
  pause(on: boolean): Promise<void>;
  /** Ends the broker as a crash does: with all its nodes, or of a cluster one that the session's queues are on. */
  kill(extent?: Extent): Promise<void>;
  /** Ends the broker in order, once it has written down what it stored: for one that loses that in a crash. */
  stop(): Promise<void>;
  /** Brings back whatever was killed or stopped, with what it had stored. */
  start(): Promise<void>;
  /** While on, copies to the dead lane of this queue are not stored. It holds no letter then. */
  refuseDeadLane(queue: Queue, on: boolean): Promise<void>;
}

export type FaultName = keyof Faults | 'kill-process' | 'freeze-process' | 'wrong-password';

/** Driver settings that scenarios ask for. A harness leaves out what its driver does not have. */
export interface DriverSettings {
  /** Shorter ones make lease scenarios quick. @default 10_000 */
  readonly leaseMs?: number;
  /** A low ceiling forces long delays into several hops. */
  readonly maxDelayMs?: number;
  readonly envelope?: 'structured' | 'binary';
  /** Instead of the right one, for the fault `wrong-password`. */
  readonly password?: string;
}

/** A module that worker processes import to reach the same session: it exports {@link CreateDriver} as `createDriver`. */
export interface WorkerModule {
  readonly url: string;
  /** Handed to `createDriver`; must survive JSON. */
  readonly options: unknown;
}

export type CreateDriver = (options: unknown, settings: DriverSettings) => Driver;

/** One scenario's place on the broker. Its network faults concern no other session. */
export interface Session {
  /** A driver of its own connection: one client process. */
  createDriver(settings?: DriverSettings): Driver;
  readonly faults: Partial<Faults>;
  /** Present where real processes can be started. */
  readonly worker?: WorkerModule;
  /** Where processes are simulated: what a driver holds goes back, as if its process had died. */
  killDriver?(driver: Driver): void;
  /** Removes what the scenario made on the broker. `prefix` begins all its names; worker processes made some of `topology`. */
  close(prefix: string, topology: Topology): Promise<void>;
}

/** A broker under test. Write one for yours: `docs/writing-a-driver.md`. */
export interface Harness {
  /** As in reports: `rabbitmq`. */
  readonly name: string;
  /** What is run, for reports: `4.3.6`. */
  version(): Promise<string>;
  /** What a session can do; the rest is reported as not applicable, with the reason in `without`. */
  readonly faults: readonly FaultName[];
  /** Why a fault does not exist here. */
  readonly without?: Partial<Readonly<Record<FaultName, string>>>;
  /** Scenarios at the same time. @default 4 */
  readonly parallel?: number;
  /** How many nodes the broker has. With several it goes on when one is killed. @default 1 */
  readonly nodes?: number;
  /** Every session has a whole broker of its own, so that no fault reaches another one's. @default false */
  readonly isolated?: boolean;
  /** Scenarios that this broker cannot pass though its driver is right, by id, and why: where it deviates from what it stands for. */
  readonly except?: Readonly<Record<string, string>>;
  /** Words that must appear in no error, event or report: passwords. */
  readonly secrets?: readonly string[];
  /** How soon a depth is true once nothing moves, where that is sooner than is promised. @default 90_000 */
  readonly depthWithinMs?: number;
  open(): Promise<Session>;
  close(): Promise<void>;
}
