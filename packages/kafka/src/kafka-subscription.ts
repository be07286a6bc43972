import { randomBytes } from 'node:crypto';
import type { Delivery, Settlement, SubscribeOptions, Subscription } from '@waybill/core/driver';
import { Alarm, BatchError, byDeadline, systemClock, WaybillError } from '@waybill/core/driver';
import type { ClientGroup, GroupOptions, Place, StoredRecord } from './client/port.ts';
import { Wakeable } from './client/wakeable.ts';
import type { KafkaDelivery } from './from-kafka-message.ts';
import { assign } from './kafka-assigner.ts';
import { KafkaCommits } from './kafka-commits.ts';
import { KafkaHoldings, type Source } from './kafka-holdings.ts';
import type { KafkaPartition } from './kafka-partition.ts';
import { KafkaTrimmer } from './kafka-trimmer.ts';

/** `receive` says that the broker is down again after this long. */
const DOWN_AGAIN_MS = 1_000;

/** A member of the queue's group: hands out what its partitions hold, and commits what is finished. */
export class KafkaSubscription implements Subscription {
  readonly #holdings: KafkaHoldings;
  readonly #group: ClientGroup;
  readonly #commits: KafkaCommits;
  readonly #trimmer: KafkaTrimmer;
  readonly #alarm: Alarm<KafkaDelivery>;
  readonly #arrivals = new Wakeable();
  readonly #closed = new AbortController();
  #turn = 0;
  /** The group joins again: nothing is handed out. */
  #leaving = false;
  #down: WaybillError | undefined;
  #saidAt = 0;
  #end!: () => void;
  readonly #ended: Promise<void> = new Promise((resolve) => {
    this.#end = resolve;
  });

  constructor(source: Source, { onLost }: SubscribeOptions) {
    const owner = randomBytes(6).toString('base64url');
    this.#alarm = new Alarm((due) => this.#wakeUp(due));
    this.#trimmer = new KafkaTrimmer(source.client.admin, source.ownTopics);
    this.#holdings = new KafkaHoldings({
      source,
      owner,
      onLost,
      onOpened: () => this.#opened(),
      onDown: (cause) => this.#becomes(cause),
      onDirty: () => this.#commits.touch(),
      onGiven: () => this.#group.rejoin(),
    });
    this.#group = source.client.group(this.#memberOf(source));
    this.#commits = new KafkaCommits({
      group: this.#group,
      owner,
      partitions: () => this.#holdings.all,
      onStored: (commits) => this.#trimmer.finished(commits),
    });
  }

  /** Once it is closed. */
  get closed(): Promise<void> {
    return this.#ended;
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
    for (const partition of this.#holdings.all) if (partition.refill()) this.#group.wake();
    this.#holdings.settled();
    this.#arrivals.wake();
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

  async close(deadlineMs: number): Promise<void> {
    if (this.#closed.signal.aborted) return this.#ended;
    this.#closed.abort();
    this.#arrivals.wake();
    this.#alarm.clear();
    await byDeadline(deadlineMs, this.#commits.leave());
    await this.#group.close(deadlineMs);
    await byDeadline(deadlineMs, this.#trimmer.end());
    this.#holdings.close();
    this.#commits.resume();
    this.#end();
  }

  #memberOf({ client, groupId, topics, sessionTimeoutMs }: Source): GroupOptions {
    return {
      groupId,
      topics,
      sessionTimeoutMs,
      assign,
      claim: () => this.#holdings.claim(),
      onLeaving: () => {
        this.#leaving = true;
        return this.#commits.leave();
      },
      onAssigned: (share, continued) => {
        this.#leaving = false;
        this.#holdings.assigned(share, continued);
        this.#commits.resume();
        this.#arrivals.wake();
      },
      onLost: (cause) => {
        this.#holdings.loseAll(cause);
        this.#commits.resume();
      },
      wanted: (place) => this.#holdings.find(place)?.wanted,
      onRecords: (place, records, next) => this.#arrive(place, records, next),
      onGap: (place, first) => this.#holdings.skip(place, first),
      onNote: (message) => client.note(message),
      onDown: (cause) => this.#becomes(cause),
      onUp: () => this.#becomes(undefined),
    };
  }

  #arrive(place: Place, records: readonly StoredRecord[], next: number): void {
    const partition = this.#holdings.find(place);
    if (partition === undefined) return;
    if (partition.add(records, next, (dueAt, delivery) => this.#alarm.set(dueAt, delivery))) this.#arrivals.wake();
    if (partition.ledger?.runsLow === true) partition.dirty = true;
    if (partition.dirty) this.#commits.touch();
  }

  /** From one partition after the other, each in its order. */
  #take(max: number): KafkaDelivery[] {
    const taken: KafkaDelivery[] = [];
    if (this.#leaving) return taken;
    const partitions = [...this.#holdings.all];
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
      partition.ledger?.hand(slot);
      partition.dirty = true;
    }
    if (!mustTell) {
      this.#commits.touch();
      return taken;
    }
    try {
      await this.#commits.flush();
    } catch (error) {
      this.#putBack(taken);
      if (WaybillError.is(error) && error.code === 'LEASE_LOST') return [];
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
    if (this.#down === undefined) return this.#arrivals.wait(seen);
    // Said at once, and then now and then while it lasts.
    if (this.#saidAt + DOWN_AGAIN_MS > systemClock.now()) {
      await byDeadline(this.#saidAt + DOWN_AGAIN_MS, this.#arrivals.wait(seen));
      if (this.#arrivals.count !== seen) return;
    }
    const down: WaybillError | undefined = this.#down;
    if (down === undefined) return;
    this.#saidAt = systemClock.now();
    throw down;
  }

  #opened(): void {
    this.#down = undefined;
    this.#group.wake();
    this.#arrivals.wake();
  }

  #becomes(down: WaybillError | undefined): void {
    this.#down = down;
    this.#arrivals.wake();
  }

  #wakeUp(due: readonly KafkaDelivery[]): void {
    for (const delivery of due) if (delivery.partition.live) delivery.partition.awake(delivery);
    this.#arrivals.wake();
  }
}

function gone({ name }: KafkaPartition): WaybillError {
  return new WaybillError('LEASE_LOST', `${name} is another process's by now.`);
}
