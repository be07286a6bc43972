import { systemClock, type WaybillError } from '@waybill/core/driver';
import type { ClientGroup, Commit } from './client/port.ts';
import type { KafkaPartition } from './kafka-partition.ts';

/** Between two commits that nobody waits for. */
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
  #suspended = false;

  constructor(options: CommitsOptions) {
    this.#options = options;
  }

  /** Commits soon. What fails is tried again. */
  touch(afterMs = 0): void {
    if (this.#scheduled || this.#suspended || this.#open !== undefined) return;
    this.#scheduled = true;
    const wait = Math.max(afterMs, this.#endedAt + EVERY_MS - systemClock.now(), 0);
    systemClock.after(wait, () => {
      this.#scheduled = false;
      if (!this.#suspended) void this.flush().catch(() => undefined);
    });
  }

  /** Resolves once everything that has changed by now is stored. */
  flush(): Promise<void> {
    return (this.#next ??= this.#after(this.#open));
  }

  /** The last commit of this generation: what is handed out is given back by a process that lives. */
  async leave(): Promise<void> {
    this.#suspended = true;
    await this.#open?.catch(() => undefined);
    await this.#write(true);
  }

  resume(): void {
    this.#suspended = false;
    this.touch();
  }

  async #after(open: Promise<void> | undefined): Promise<void> {
    await open?.catch(() => undefined);
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
      else if ([...this.#options.partitions()].some(({ dirty }) => dirty)) this.touch();
    }
  }

  async #write(clean: boolean): Promise<void> {
    const { group, owner, partitions, onStored } = this.#options;
    const commits: Commit[] = [];
    const stored: (() => void)[] = [];
    const written: KafkaPartition[] = [];
    for (const partition of partitions()) {
      if (partition.ledger === undefined || partition.doubted || !(partition.dirty || clean)) continue;
      const { offset, metadata, told } = partition.ledger.write(owner, clean);
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
