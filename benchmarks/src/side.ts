import type { Sample } from './envelope.ts';
import type { MeasureId } from './measures.ts';
import type { Order } from './order.ts';

/** Where a side works; plain data, as it goes to a process of its own. `D` is what {@link Broker.start} told of the broker. */
export interface Setting<D = unknown> {
  readonly descriptor: D;
  /** It is there, made by {@link Grounds.create}, and nobody else uses it. */
  readonly queue: string;
  readonly sample: Sample;
  /** Messages in hand at once, or prefetched. */
  readonly concurrency: number;
  /** How long after its failure a message shall come again, where the library can be told. */
  readonly retryDelayMs: number;
  readonly measure: MeasureId;
}

export interface Publisher {
  /** Validates and encodes the order, and resolves once the broker has confirmed it. */
  publish(order: Order): Promise<void>;
  close(): Promise<void>;
}

export interface Consumer {
  /** Resolves once what was handled is accepted. */
  close(): Promise<void>;
}

/** Given each order, read and validated. Its message is accepted after it resolved and tried again after it rejected. */
export type Handle = (order: Order) => Promise<void>;

/** One library, used at its best by a TypeScript team. Its modules are imported by `publisher` and `consumer` alone. */
export interface Side<D = unknown> {
  /** Also the name of its module's loader in {@link Broker.sides}. */
  readonly name: string;
  readonly kind: 'raw' | 'waybill' | 'peer';
  /** Whose versions the report tells. */
  readonly packages: readonly string[];
  /** Why it is shown apart and never ranked: its guarantees are not those of the others. */
  readonly unequal?: string;
  /** As `unequal`, of these measures alone. */
  readonly unequalIn?: Readonly<Partial<Record<MeasureId, string>>>;
  /** Measures that it has no part in, and why. */
  readonly absent?: Readonly<Partial<Record<MeasureId, string>>>;
  /** The part of a round's messages that it gets where it is many times slower than others. @default 1 */
  readonly share?: Readonly<Partial<Record<MeasureId, number>>>;
  /** Told beside its numbers. */
  readonly notes?: Readonly<Partial<Record<MeasureId, string>>>;
  publisher(setting: Setting<D>): Promise<Publisher>;
  consumer(setting: Setting<D>, handle: Handle): Promise<Consumer>;
  /** What it makes of a body where the library insists on its own envelope. */
  wrap?(body: string): string;
}

/** Queues of a broker, and messages in them, made outside of what is measured. */
export interface Grounds {
  /** A message as Waybill publishes it. */
  sample(): Promise<Sample>;
  /** Makes a queue as all sides use it. */
  create(queue: string): Promise<void>;
  /** Publishes these bodies to the queue, in any order, as fast as it can. */
  fill(queue: string, sample: Sample, bodies: Iterable<{ readonly id: string; readonly body: string }>): Promise<void>;
  remove(queue: string): Promise<void>;
  close(): Promise<void>;
}

export interface RunningBroker<D = unknown> {
  readonly version: string;
  /** Plain data: what sides need to reach it. */
  readonly descriptor: D;
  stop(): Promise<void>;
}

/** A floor on numbers of one run. */
export interface Floor {
  readonly text: string;
  readonly measured: number;
  readonly floor: number;
  readonly holds: boolean;
}

/** What floors are judged by. All are undefined where something was not measured. */
export interface Numbers {
  /** Waybill over another side, as {@link ratioOf} has it. */
  ratio(measure: MeasureId, than: string): number | undefined;
  /** Waybill's HTTP requests for each message. */
  requests(measure: MeasureId): number | undefined;
  /** The names of those at equal guarantees. */
  peers(measure: MeasureId): readonly string[];
}

/** Its module loads only what is small: every measured process loads it. The rest is imported by `start` and `grounds`. */
export interface Broker<D = unknown> {
  readonly name: string;
  readonly title: string;
  /** In the order of the report. Each module exports its `side`. */
  readonly sides: Readonly<Record<string, () => Promise<{ readonly side: Side<D> }>>>;
  /** Messages of a round, where the command line says nothing else. @default 10_000 */
  readonly messages?: number;
  /** Messages of publish and consume before those that count, at most three times as many as those. @default 1_000 */
  readonly warmUp?: number;
  start(progress: (line: string) => void): Promise<RunningBroker<D>>;
  grounds(descriptor: D): Promise<Grounds>;
  /** Floors whose numbers are there. */
  floors(numbers: Numbers): readonly Floor[];
}
