import { randomBytes } from 'node:crypto';
import {
  Alarm,
  BatchError,
  byDeadline,
  type Delivery,
  pause,
  type Settlement,
  type SubscribeOptions,
  type Subscription,
  systemClock,
  WaybillError,
} from '@waybill/core/driver';
import { type ClientGroup, type KafkaClient, type Place, placeName, type Share } from './client/port.ts';
import { Wakeable } from './client/wakeable.ts';
import { KafkaDelivery } from './from-kafka-message.ts';
import { assign, writeClaims } from './kafka-assigner.ts';
import { KafkaCommits } from './kafka-commits.ts';
import { type Progress, readProgress } from './kafka-offsets.ts';
import { KafkaPartition } from './kafka-partition.ts';
import { KafkaTrimmer } from './kafka-trimmer.ts';

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

/** `receive` says that the broker is down again after this long. */
const DOWN_AGAIN_MS = 1_000;
const OPEN_AGAIN_MS = 300;
/** What is in hand of partitions that go to another process may take this long, and is lost then. */
const FINISH_WITHIN_MS = 60_000;

/** A member of the queue's group, with what it has of the queue's partitions. */
export class KafkaSubscription implements Subscription {
  readonly #source: Source;
  readonly #options: SubscribeOptions;
  readonly #owner = randomBytes(6).toString('base64url');
  readonly #partitions = new Map<string, KafkaPartition>();
  readonly #group: ClientGroup;
  readonly #commits: KafkaCommits;
  readonly #trimmer: KafkaTrimmer;
  readonly #alarm: Alarm<KafkaDelivery>;
  readonly #arrivals = new Wakeable();
  readonly #closed = new AbortController();
  #surplus: readonly KafkaPartition[] = [];
  #cancelGiveUp: (() => void) | undefined;
  #turn = 0;
  #end!: () => void;
  readonly #ended: Promise<void> = new Promise((resolve) => {
    this.#end = resolve;
  });
  /** The group joins again: nothing is handed out. */
  #leaving = false;
  #down: WaybillError | undefined;
  #saidAt = 0;

  constructor(source: Source, options: SubscribeOptions) {
    this.#source = source;
    this.#options = options;
    this.#alarm = new Alarm((due) => this.#wakeUp(due));
    this.#group = source.client.group({
      groupId: source.groupId,
      topics: source.topics,
      sessionTimeoutMs: source.sessionTimeoutMs,
      claim: () => claimsOf([...this.#partitions.values()]),
      assign,
      onLeaving: () => this.#leave(),
      onAssigned: (share, continued) => this.#assigned(share, continued),
      onLost: (cause) => {
        this.#lose([...this.#partitions.values()], cause);
        this.#commits.resume();
      },
      wanted: (place) => this.#partitions.get(placeName(place))?.wanted,
      onRecords: (place, records, next) => {
        const partition = this.#partitions.get(placeName(place)) as KafkaPartition;
        if (partition.add(records, next, (dueAt, delivery) => this.#alarm.set(dueAt, delivery))) this.#arrivals.wake();
        if (partition.dirty || partition.ledger?.runsLow === true) this.#touch(partition);
      },
      onGap: (place, first) => this.#skip(place, first),
      onNote: (message) => source.client.note(message),
      onDown: (cause) => {
        this.#down = cause;
        this.#arrivals.wake();
      },
      onUp: () => {
        this.#down = undefined;
        this.#arrivals.wake();
      },
    });
    this.#trimmer = new KafkaTrimmer(source.client.admin, source.ownTopics);
    this.#commits = new KafkaCommits({
      group: this.#group,
      owner: this.#owner,
      partitions: () => this.#partitions.values(),
      onStored: (commits) => this.#trimmer.finished(commits),
    });
  }

  open(): Promise<void> {
    return this.#group.start();
  }

  async receive(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const onAbort = (): void => this.#arrivals.wake();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      while (!signal.aborted && !this.#closed.signal.aborted) {
        const seen = this.#arrivals.count;
        const taken = this.#take(max);
        const ready = taken.length === 0 ? taken : await this.#tell(taken, signal);
        if (ready.length > 0) return ready;
        if (taken.length === 0) await this.#wait(seen);
      }
      return [];
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Resolves once what is finished is stored with the group: until then it counts as held, and a crash repeats it. */
  async settle(batch: readonly Settlement[]): Promise<void> {
    for (const { delivery, action } of batch) {
      const known = delivery as KafkaDelivery;
      // Settled before, and the answer was lost: only the commit is to be repeated.
      if (!known.partition.held.has(known)) continue;
      if (action === 'release') known.partition.putBack(known);
      else known.partition.finish(known);
    }
    this.#settled();
    await this.#commits.flush();
    const failures: { readonly index: number; readonly error: WaybillError }[] = [];
    for (const [index, { delivery }] of batch.entries()) {
      const { partition } = delivery as KafkaDelivery;
      if (!partition.live) failures.push({ index, error: gone(partition) });
    }
    if (failures.length > 0) throw new BatchError(failures, batch.length);
  }

  async extend(deliveries: readonly Delivery[]): Promise<readonly number[]> {
    await this.#group.prove();
    return deliveries.map((delivery) => ((delivery as KafkaDelivery).partition.live ? Number.POSITIVE_INFINITY : 0));
  }

  /** It is asked for what there is room for, and reads ahead on its own. */
  resize(): Promise<void> {
    return Promise.resolve();
  }

  /** Once it is closed. */
  get closed(): Promise<void> {
    return this.#ended;
  }

  async close(deadlineMs: number): Promise<void> {
    if (this.#closed.signal.aborted) return this.#ended;
    this.#closed.abort();
    this.#cancelGiveUp?.();
    this.#arrivals.wake();
    this.#alarm.clear();
    await byDeadline(deadlineMs, this.#commits.leave());
    await this.#group.close(deadlineMs);
    await byDeadline(deadlineMs, this.#trimmer.end());
    for (const partition of this.#partitions.values()) partition.live = false;
    this.#partitions.clear();
    this.#commits.resume();
    this.#end();
  }

  /** From one partition after the other, each in its order. */
  #take(max: number): KafkaDelivery[] {
    const taken: KafkaDelivery[] = [];
    if (this.#leaving) return taken;
    const partitions = [...this.#partitions.values()];
    for (let step = 0; step < partitions.length && taken.length < max; step += 1) {
      const partition = partitions[(this.#turn + step) % partitions.length] as KafkaPartition;
      if (!partition.hasWaiting || partition.doubted || partition.leaving) continue;
      partition.take(max - taken.length, taken);
      if (partition.refill()) this.#group.wake();
      if (taken.length >= max) this.#turn = (this.#turn + step + 1) % partitions.length;
    }
    return taken;
  }

  /** What may kill the process is known to the broker before it is handed out. */
  async #tell(taken: readonly KafkaDelivery[], signal: AbortSignal): Promise<readonly KafkaDelivery[]> {
    let mustTell = false;
    for (const { partition, slot } of taken) {
      if (partition.ledger?.mustTell(slot) === true) mustTell = true;
      partition.dirty = slot.handed = true;
    }
    if (!mustTell) {
      this.#commits.touch();
      return taken;
    }
    try {
      await this.#commits.flush();
    } catch (error) {
      this.#putBack(taken);
      if ((error as WaybillError).code === 'LEASE_LOST') return [];
      throw error;
    }
    if (!signal.aborted) return taken.filter(({ partition }) => partition.live);
    this.#putBack(taken);
    return [];
  }

  #putBack(taken: readonly KafkaDelivery[]): void {
    for (const delivery of taken) if (delivery.partition.live) delivery.partition.putBack(delivery);
  }

  async #wait(seen: number): Promise<void> {
    const down = this.#down;
    if (down === undefined) return this.#arrivals.wait(seen);
    // Said at once, and then now and then while it lasts.
    if (this.#saidAt + DOWN_AGAIN_MS > systemClock.now()) {
      await byDeadline(this.#saidAt + DOWN_AGAIN_MS, this.#arrivals.wait(seen));
      if (this.#down === undefined || this.#arrivals.count !== seen) return;
    }
    this.#saidAt = systemClock.now();
    throw this.#down;
  }

  #settled(): void {
    for (const partition of this.#partitions.values()) {
      if (partition.refill()) this.#group.wake();
    }
    if (this.#surplus.length > 0 && this.#surplus.every(({ held }) => held.size === 0)) this.#group.rejoin();
    this.#arrivals.wake();
  }

  #touch(partition: KafkaPartition): void {
    partition.dirty = true;
    this.#commits.touch();
  }

  #wakeUp(due: readonly KafkaDelivery[]): void {
    for (const delivery of due) if (delivery.partition.live) delivery.partition.awake(delivery);
    this.#arrivals.wake();
  }

  /** Retention deleted what was wanted. A topic that begins before it was made anew: nothing of it is finished. */
  #skip(place: Place, first: number): void {
    const partition = this.#partitions.get(placeName(place));
    if (partition?.ledger === undefined) return;
    if (first >= partition.ledger.next) {
      partition.ledger.skipTo(first);
      return this.#touch(partition);
    }
    this.#lose([partition], new WaybillError('LEASE_LOST', `${partition.name} was made anew.`));
    const anew = this.#add(place);
    anew.open(readProgress(first, ''), this.#source.counts);
    this.#touch(anew);
    this.#group.wake();
  }

  #leave(): Promise<void> {
    this.#leaving = true;
    return this.#commits.leave();
  }

  #assigned({ assignment, surplus }: Share, continued: boolean): void {
    const places = [...assignment].flatMap(([topic, list]) => list.map((partition) => ({ topic, partition })));
    const names = new Set(places.map(placeName));
    const left = [...this.#partitions.values()].filter(({ name }) => !names.has(name));
    this.#lose(left, new WaybillError('LEASE_LOST', `Group ${this.#source.groupId} gave it to another process.`));
    if (!continued) for (const partition of this.#partitions.values()) partition.doubted = true;
    for (const place of places) {
      if (!this.#partitions.has(placeName(place))) this.#add(place);
    }
    this.#leaving = false;
    this.#giveUp(surplus);
    // What is in hand is told of again: this process may die from now on.
    for (const partition of this.#partitions.values()) if (partition.held.size > 0) partition.dirty = true;
    this.#commits.resume();
    this.#arrivals.wake();
    void this.#openAll();
  }

  /** Others have too few: these are theirs once what is in hand of them is finished. */
  #giveUp(slots: readonly number[]): void {
    this.#cancelGiveUp?.();
    const partitions = [...this.#partitions.values()];
    for (const partition of partitions) partition.leaving = slots.includes(partition.place.partition);
    this.#surplus = partitions.filter(({ leaving }) => leaving);
    if (slots.length === 0) return;
    this.#cancelGiveUp = systemClock.after(FINISH_WITHIN_MS, () => this.#group.rejoin());
    this.#settled();
  }

  #add(place: Place): KafkaPartition {
    const partition = new KafkaPartition(place, this.#source.delayTopics.includes(place.topic));
    this.#partitions.set(partition.name, partition);
    return partition;
  }

  #lose(partitions: readonly KafkaPartition[], cause: WaybillError): void {
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
    const { client, groupId } = this.#source;
    while (!this.#closed.signal.aborted) {
      const closed = [...this.#partitions.values()].filter(({ ledger, doubted }) => ledger === undefined || doubted);
      if (closed.length === 0) return;
      try {
        const committed = await client.admin.committed(
          groupId,
          closed.map(({ place }) => place),
        );
        const isNew = [...committed.values()].some(({ offset }) => offset === undefined);
        const beginnings = isNew ? await this.#source.beginnings() : undefined;
        for (const partition of closed) {
          const { offset, metadata } = committed.get(partition.name) ?? { offset: undefined, metadata: '' };
          const progress = readProgress(
            offset ?? beginnings?.get(partition.name) ?? 0,
            offset === undefined ? '' : metadata,
          );
          if (partition.live) this.#open(partition, progress);
        }
        this.#group.wake();
        this.#arrivals.wake();
        return;
      } catch (error) {
        this.#down = error as WaybillError;
        this.#arrivals.wake();
        await pause(systemClock, OPEN_AGAIN_MS, this.#closed.signal);
      }
    }
  }

  #open(partition: KafkaPartition, progress: Progress): void {
    if (partition.ledger === undefined) {
      partition.open(progress, this.#source.counts);
      // What a dead process held is ready again.
      if (progress.held > 0) this.#touch(partition);
      return;
    }
    if (progress.owner === this.#owner) {
      partition.doubted = false;
      this.#touch(partition);
      return;
    }
    this.#lose([partition], new WaybillError('LEASE_LOST', `Another process had ${partition.name} in between.`));
    this.#add(partition.place).open(progress, this.#source.counts);
  }
}

/** Partitions of one number are claimed together; those on their way to others are not. */
function claimsOf(partitions: readonly KafkaPartition[]): string {
  const busy = new Map<number, boolean>();
  for (const { place, held, leaving } of partitions) {
    if (!leaving) busy.set(place.partition, busy.get(place.partition) === true || held.size > 0);
  }
  return writeClaims([...busy].map(([slot, isBusy]) => ({ slot, busy: isBusy })));
}

function gone({ name }: KafkaPartition): WaybillError {
  return new WaybillError('LEASE_LOST', `${name} is another process's by now.`);
}
