import type { WorkerModule } from '@waybill/conformance';
import type { ConsumerName } from './workload.ts';

/** What a process of the run is sent to begin with. */
export interface Start {
  readonly do: 'start';
  readonly module: WorkerModule;
  readonly prefix: string;
  readonly messages: number;
  readonly seed: number;
  readonly folder: string;
  /** Names its ledger: `ordered-1.3`. */
  readonly process: string;
  readonly role: PublisherRole | ConsumerRole;
}

export interface PublisherRole {
  readonly is: 'publisher';
  /** From 0. */
  readonly publisher: number;
  /** The first turn that no process of this publisher has begun. */
  readonly fromTurn: number;
  /** Messages that it publishes in a second. */
  readonly rate: number;
}

export interface ConsumerRole {
  readonly is: 'consumer';
  readonly consumer: ConsumerName;
}

export type Order = Start | { readonly do: 'close' };

/** What a process did so far, and how it is. */
export interface Counts {
  readonly confirmed: number;
  readonly rejected: number;
  readonly handled: number;
  readonly failed: number;
  readonly dead: number;
  /** Handled or published and not yet over. */
  readonly held: number;
}

/** MiB of heap and buffers that are in use after a collection of garbage. */
export interface Live {
  readonly is: 'live';
  readonly mib: number;
}

export type Answer = { readonly is: 'ready' } | ({ readonly is: 'counts' } & Counts) | Live;

export const NOTHING: Counts = { confirmed: 0, rejected: 0, handled: 0, failed: 0, dead: 0, held: 0 };

/** What a publisher and a consumer have in common. */
export interface Running {
  counts(): Counts;
  close(): Promise<void>;
}
