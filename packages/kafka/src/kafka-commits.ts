import { systemClock, type WaybillError } from '@waybill/core/driver';
import type { ClientGroup, Commit } from './client/port.ts';
import { Wakeable } from './client/wakeable.ts';
import type { KafkaPartition } from './kafka-partition.ts';

/** Before a commit that nobody waits for: others may come. */
const EVERY_MS = 25;
const RETRY_MS = 500;

export interface CommitsOptions {
  readonly group: ClientGroup;
  readonly owner: string;
  readonly partitions: () => Iterable<KafkaPartition>;
  readonly onStored: (commits: readonly Commit[]) => void;
}

/** One open commit, for everything that changed since the one before. */
export class KafkaCommits {
  readonly #options: CommitsOptions;
  #open: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #scheduled = false;
  #endedAt = 0;
  /** The group joins again: nothing is committed until it has. */
  #suspended: Wakeable | undefined;

  constructor(options: CommitsOptions) {
    this.#options = options;
  }

  /** Commits soon. What fails is tried again. */
  touch(afterMs = 0): void {
    if (this.#scheduled || this.#suspended !== undefined || this.#open !== undefined) return;
    this.#scheduled = true;
    const wait = Math.max(afterMs, this.#endedAt + EVERY_MS - systemClock.now(), 0);
    systemClock.after(wait, () => {
      this.#scheduled = false;
      if (this.#suspended === undefined) void this.flush().catch(() => undefined);
    });
  }

  /** Resolves once everything that has changed by now is stored. */
  flush(): Promise<void> {
    return (this.#next ??= this.#after(this.#open));
  }

  /** The last commit before {@link resume}: what is not handed out is given back by a process that lives. */
  async leave(): Promise<void> {
    const suspended = (this.#suspended ??= new Wakeable());
    await this.#open?.catch(() => undefined);
    // Too late: the group has joined again meanwhile.
    if (this.#suspended !== suspended) return;
    await this.#write(true);
  }

  resume(): void {
    const suspended = this.#suspended;
    this.#suspended = undefined;
    suspended?.wake();
    this.touch();
  }

  async #after(open: Promise<void> | undefined): Promise<void> {
    await open?.catch(() => undefined);
    if (this.#suspended !== undefined) await this.#suspended.wait(this.#suspended.count);
    this.#next = undefined;
    this.#open = this.#write(false);
    let failed = false;
    try {
      await this.#open;
    } catch (error) {
      failed = (error as WaybillError).retryable;
      throw error;
    } finally {
      this.#open = undefined;
      this.#endedAt = systemClock.now();
      if (failed) this.touch(RETRY_MS);
      else if (this.#next === undefined && [...this.#options.partitions()].some(({ dirty }) => dirty)) this.touch();
    }
  }

  async #write(clean: boolean): Promise<void> {
    const { group, owner, partitions, onStored } = this.#options;
    const commits: Commit[] = [];
    const stored: (() => void)[] = [];
    const written: KafkaPartition[] = [];
    for (const partition of partitions()) {
      if (partition.ledger === undefined || partition.doubted || !(partition.dirty || clean)) continue;
      const { offset, metadata, told } = partition.ledger.write(owner, partition.held.size, clean);
      partition.dirty = false;
      commits.push({ ...partition.place, offset, metadata });
      stored.push(told);
      written.push(partition);
    }
    if (commits.length === 0) return;
    try {
      await group.commit(commits);
    } catch (error) {
      for (const partition of written) partition.dirty = true;
      throw error;
    }
    for (const told of stored) told();
    onStored(commits);
  }
}
