import type { WaybillError } from '@waybill/core/driver';

/**
 * All that the adapter asks of a Kafka client. Offsets and times are numbers, errors are WaybillErrors; what a client
 * calls things ends here, so that another one can take its place.
 */
export interface KafkaClient {
  /** Idempotent, acknowledged by all replicas in sync. Connects with its first send. */
  producer(): ClientProducer;
  /** A member of a consumer group; joins once started. */
  group(options: GroupOptions): ClientGroup;
  readonly admin: ClientAdmin;
  /** Calls `listener` with what the client logs. */
  watch(listener: (line: ClientLine) => void): void;
  /** Says something itself where the client's own lines are heard. */
  note(message: string): void;
  close(): Promise<void>;
}

export interface Place {
  readonly topic: string;
  readonly partition: number;
}

export type RecordHeaders = Readonly<Record<string, string>>;

export interface OutgoingRecord {
  readonly topic: string;
  /** Records of one key go to one partition, chosen as the Java client does; those without are spread. */
  readonly key: string | null;
  readonly value: Buffer;
  readonly headers: RecordHeaders;
  /** Epoch ms. Absent: now. */
  readonly timestamp?: number;
}

export interface StoredRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** A name that is given more than once has several values. */
  readonly headers: Readonly<Record<string, Buffer | string | readonly (Buffer | string)[] | undefined>> | undefined;
}

export interface ClientProducer {
  /**
   * One call at a time. Resolves with the failures by index: UNAVAILABLE where the broker did not say that it stored
   * them, TIMEOUT where nobody knows. Rejects when nothing was sent. After a failure the producer must not be used again.
   */
  send(records: readonly OutgoingRecord[]): Promise<ReadonlyMap<number, WaybillError>>;
  close(): Promise<void>;
}

export interface Commit extends Place {
  readonly offset: number;
  readonly metadata: string;
}

export interface Member {
  readonly id: string;
  readonly topics: readonly string[];
  /** What {@link GroupOptions.claim} of that member said when it joined. */
  readonly claim: string;
}

export interface GroupOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  /** What this process tells the member that assigns, at every join. */
  readonly claim: () => string;
  /** Which partitions each member gets; called in the process that leads the group. */
  readonly assign: (members: readonly Member[], partitions: ReadonlyMap<string, number>) => ReadonlyMap<string, Share>;
  /** Before this process joins again: the last moment to commit for what it may lose. */
  readonly onLeaving: () => Promise<void>;
  /** `continued`: nobody else can have had in between what this process had before. */
  readonly onAssigned: (share: Share, continued: boolean) => void;
  /** The group took this process for dead, or cannot be reached for so long that it must have. */
  readonly onLost: (cause: WaybillError) => void;
  /** The next offset to read, or undefined while nothing is wanted from there. */
  readonly wanted: (place: Place) => number | undefined;
  /** What was read at the offset that was wanted; `next`: where to read on. */
  readonly onRecords: (place: Place, records: readonly StoredRecord[], next: number) => void;
  /** What was wanted is not there any more: reading goes on at the first record that is. */
  readonly onGap: (place: Place, first: number) => void;
  /** Something that whoever runs this should read. */
  readonly onNote: (message: string) => void;
  readonly onDown: (cause: WaybillError) => void;
  readonly onUp: () => void;
}

export interface Share {
  readonly assignment: Assignment;
  /** Partition numbers that are to go to others, once what is in hand of them is finished. */
  readonly surplus: readonly number[];
}

/** Partitions by topic. */
export type Assignment = ReadonlyMap<string, readonly number[]>;

export interface ClientGroup {
  /** Resolves once this process is a member; rejects when it cannot join now. */
  start(): Promise<void>;
  /** Has all members join again, so that what this one no longer claims goes to others. */
  rejoin(): void;
  /** Something is wanted that was not. */
  wake(): void;
  /**
   * One request. Rejects with LEASE_LOST where this process is no member, or another one has the partitions; with
   * UNAVAILABLE where the coordinator did not answer.
   */
  commit(offsets: readonly Commit[]): Promise<void>;
  /** Resolves once the coordinator said that this process is a member still, or that it was lost; one round trip. */
  prove(): Promise<void>;
  /** Leaves the group, so that others need not wait for it. */
  close(deadlineMs: number): Promise<void>;
}

export interface NewTopic {
  readonly topic: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface Committed {
  /** Undefined: the group never committed there, or so long ago that the broker forgot it. */
  readonly offset: number | undefined;
  readonly metadata: string;
}

export interface ClientAdmin {
  /** How many partitions each of these topics has; those that do not exist are left out. */
  partitions(topics: readonly string[]): Promise<ReadonlyMap<string, number>>;
  nodes(): Promise<number>;
  /** Existing ones are left as they are. Resolves once all have leaders. */
  create(topics: readonly NewTopic[], signal: AbortSignal): Promise<void>;
  config(
    topics: readonly string[],
    names: readonly string[],
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>>;
  offsets(places: readonly Place[], at: 'first' | 'end'): Promise<ReadonlyMap<string, number>>;
  committed(groupId: string, places: readonly Place[]): Promise<ReadonlyMap<string, Committed>>;
  hasMembers(groupId: string): Promise<boolean>;
  /** Only while the group has no members. */
  commit(groupId: string, offsets: readonly Commit[]): Promise<void>;
  /** Some records from `from` on, at least one if there is one; and where to read on. */
  read(place: Place, from: number): Promise<{ readonly records: readonly StoredRecord[]; readonly next: number }>;
  /** Deletes what is before these offsets. */
  deleteBefore(offsets: readonly (Place & { readonly offset: number })[]): Promise<void>;
}

export interface ClientLine {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** All partitions of an assignment. */
export function placesIn(assignment: Assignment): readonly Place[] {
  return [...assignment].flatMap(([topic, partitions]) => partitions.map((partition) => ({ topic, partition })));
}

export function byTopic<P extends Place>(places: readonly P[]): ReadonlyMap<string, P[]> {
  const topics = new Map<string, P[]>();
  for (const place of places) {
    const list = topics.get(place.topic);
    if (list === undefined) topics.set(place.topic, [place]);
    else list.push(place);
  }
  return topics;
}

/** As a key of a map. */
export function placeName({ topic, partition }: Place): string {
  return `${topic}/${partition}`;
}
