import { type Delivery, pause, systemClock, WaybillError } from '@waybill/core/driver';
import { type KafkaClient, type Place, placeName, placesIn, type Share } from './client/port.ts';
import { writeClaims } from './kafka-assigner.ts';
import { type Progress, readProgress } from './kafka-offsets.ts';
import { KafkaPartition } from './kafka-partition.ts';

/** What a member of a group reads. */
export interface Source {
  readonly client: KafkaClient;
  readonly groupId: string;
  readonly topics: readonly string[];
  /** Whose records are due at their time. */
  readonly delayTopics: readonly string[];
  /** That only this queue uses: what is finished there is deleted. */
  readonly ownTopics: readonly string[];
  readonly sessionTimeoutMs: number;
  /** Whether it matters how often a record was handed out. */
  readonly counts: boolean;
  /** Where a group begins that never committed, by {@link placeName}; the first record where it says nothing. */
  readonly beginnings: () => Promise<ReadonlyMap<string, number>>;
}

export interface HoldingsOptions {
  readonly source: Source;
  /** Names this process in what it commits. */
  readonly owner: string;
  readonly onLost: (deliveries: readonly Delivery[], cause: WaybillError) => void;
  /** Something can be read or handed out that could not. */
  readonly onOpened: () => void;
  readonly onDown: (cause: WaybillError) => void;
  /** There is something to commit. */
  readonly onDirty: () => void;
  /** Others wait for partitions that nothing is in hand of any more. */
  readonly onGiven: () => void;
}

const OPEN_AGAIN_MS = 300;
/** What is in hand of partitions that go to another process may take this long, and is lost then. */
const FINISH_WITHIN_MS = 60_000;

/** The partitions that a process has: how they come, are kept through a rebalance, and go. */
export class KafkaHoldings {
  readonly #options: HoldingsOptions;
  readonly #partitions = new Map<string, KafkaPartition>();
  readonly #closed = new AbortController();
  #surplus: readonly KafkaPartition[] = [];
  #cancelGiveUp: (() => void) | undefined;

  constructor(options: HoldingsOptions) {
    this.#options = options;
  }

  get all(): Iterable<KafkaPartition> {
    return this.#partitions.values();
  }

  find(place: Place): KafkaPartition | undefined {
    return this.#partitions.get(placeName(place));
  }

  /** Partitions of one number are claimed together; those on their way to others are not. */
  claim(): string {
    const busy = new Map<number, boolean>();
    for (const { place, held, leaving } of this.all) {
      if (!leaving) busy.set(place.partition, busy.get(place.partition) === true || held.size > 0);
    }
    return writeClaims([...busy].map(([slot, isBusy]) => ({ slot, busy: isBusy })));
  }

  /** `continued`: nobody else can have had in between what this process had before. */
  assigned({ assignment, surplus }: Share, continued: boolean): void {
    const places = placesIn(assignment);
    const names = new Set(places.map(placeName));
    const left = [...this.all].filter(({ name }) => !names.has(name));
    this.#lose(left, `Group ${this.#options.source.groupId} gave it to another process.`);
    for (const partition of this.all) {
      if (!continued) partition.doubted = true;
      // It is told of again: this process may die from now on.
      if (partition.held.size > 0) partition.dirty = true;
    }
    for (const place of places) if (!this.#partitions.has(placeName(place))) this.#add(place);
    this.#giveUp(surplus);
    void this.#openAll();
  }

  loseAll(cause: WaybillError): void {
    this.#drop([...this.all], cause);
  }

  /** Retention deleted what was wanted. A topic that begins before it was made anew: nothing of it is finished. */
  skip(place: Place, first: number): void {
    const partition = this.find(place);
    if (partition?.ledger === undefined) return;
    if (first >= partition.ledger.next) {
      partition.ledger.skipTo(first);
      return this.#touch(partition);
    }
    this.#lose([partition], `${partition.name} was made anew.`);
    const anew = this.#add(place);
    anew.open(readProgress(first, ''), this.#options.source.counts);
    this.#touch(anew);
    this.#options.onOpened();
  }

  /** Something was settled. */
  settled(): void {
    if (this.#surplus.length > 0 && this.#surplus.every(({ held }) => held.size === 0)) this.#options.onGiven();
  }

  close(): void {
    this.#closed.abort();
    this.#cancelGiveUp?.();
    for (const partition of this.all) partition.live = false;
    this.#partitions.clear();
  }

  /** Others have too few: these are theirs once what is in hand of them is finished. */
  #giveUp(slots: readonly number[]): void {
    this.#cancelGiveUp?.();
    for (const partition of this.all) partition.leaving = slots.includes(partition.place.partition);
    this.#surplus = [...this.all].filter(({ leaving }) => leaving);
    if (slots.length === 0) return;
    this.#cancelGiveUp = systemClock.after(FINISH_WITHIN_MS, () => this.#options.onGiven());
    this.settled();
  }

  #add(place: Place): KafkaPartition {
    const partition = new KafkaPartition(place, this.#options.source.delayTopics.includes(place.topic));
    this.#partitions.set(partition.name, partition);
    return partition;
  }

  #touch(partition: KafkaPartition): void {
    partition.dirty = true;
    this.#options.onDirty();
  }

  #lose(partitions: readonly KafkaPartition[], why: string): void {
    this.#drop(partitions, new WaybillError('LEASE_LOST', why));
  }

  #drop(partitions: readonly KafkaPartition[], cause: WaybillError): void {
    const held: Delivery[] = [];
    for (const partition of partitions) {
      partition.live = false;
      this.#partitions.delete(partition.name);
      held.push(...partition.held);
    }
    if (held.length > 0) this.#options.onLost(held, cause);
  }

  /** Finds out what is finished of partitions that are new, and whether doubted ones are still ours. */
  async #openAll(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const closed = [...this.all].filter(({ ledger, doubted }) => ledger === undefined || doubted);
      if (closed.length === 0) return;
      try {
        for (const [partition, progress] of await this.#progressOf(closed)) {
          if (partition.live) this.#open(partition, progress);
        }
        return this.#options.onOpened();
      } catch (error) {
        this.#options.onDown(error as WaybillError);
        await pause(systemClock, OPEN_AGAIN_MS, this.#closed.signal);
      }
    }
  }

  async #progressOf(partitions: readonly KafkaPartition[]): Promise<ReadonlyMap<KafkaPartition, Progress>> {
    const { client, groupId, beginnings } = this.#options.source;
    const places = partitions.map(({ place }) => place);
    const committed = await client.admin.committed(groupId, places);
    const isNew = partitions.some(({ name }) => committed.get(name)?.offset === undefined);
    const begins = isNew ? await beginnings() : undefined;
    return new Map(
      partitions.map((partition) => {
        const { offset, metadata } = committed.get(partition.name) ?? { offset: undefined, metadata: '' };
        if (offset === undefined) return [partition, readProgress(begins?.get(partition.name) ?? 0, '')];
        return [partition, readProgress(offset, metadata)];
      }),
    );
  }

  #open(partition: KafkaPartition, progress: Progress): void {
    const { source, owner } = this.#options;
    if (partition.ledger === undefined) {
      partition.open(progress, source.counts);
      // What a dead process held is ready again.
      if (progress.held > 0) this.#touch(partition);
    } else if (progress.owner === owner) {
      partition.doubted = false;
      this.#touch(partition);
    } else {
      this.#lose([partition], `Another process had ${partition.name} in between.`);
      this.#add(partition.place).open(progress, source.counts);
    }
  }
}
