import { closeSync, existsSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

import { decode, encode } from './amqp.ts';
import type { Entry, EntryState } from './entry.ts';
import type { Properties } from './properties.ts';
import type { Rule } from './rule.ts';

/** An entity as it is from now on. */
export interface EntityRecord {
  readonly record: 'entity';
  readonly path: string;
  readonly kind: 'queue' | 'subscription' | 'topic';
  readonly properties: Properties;
  readonly rules: readonly Rule[];
}

/** Of a message: what changes, and its content where that changed. */
export interface EntryRecord {
  readonly record: 'entry';
  readonly mailbox: string;
  readonly sequence: number;
  readonly state: EntryState;
  readonly deliveryCount: number;
  readonly lock?: { readonly token: string; readonly until: number; readonly returnsTo: 'active' | 'deferred' };
  readonly content?: string;
  readonly firstSequence?: number;
  readonly enqueuedAt?: number;
  /** Absent for never. */
  readonly expiresAt?: number;
  readonly scheduledAt?: number;
}

export type JournalRecord =
  | EntityRecord
  | EntryRecord
  | { readonly record: 'entity-gone'; readonly path: string }
  | { readonly record: 'entry-gone'; readonly mailbox: string; readonly sequence: number }
  | { readonly record: 'session'; readonly mailbox: string; readonly id: string; readonly state: string | null }
  | { readonly record: 'seen'; readonly path: string; readonly id: string; readonly at: number };

export interface JournalOptions {
  readonly path: string;
  /** What is written before the file begins anew with what is left. */
  readonly maxBytes: number;
}

/** A file of what happened, one line of JSON each, that outlives a process which is killed. */
export class Journal {
  readonly #options: JournalOptions;
  readonly #contents: () => Iterable<JournalRecord>;
  #file: number;
  #lines: string[] = [];
  #bytes = 0;

  /** Begins a file anew. `contents` tells what there is, whenever that is asked. */
  constructor(options: JournalOptions, contents: () => Iterable<JournalRecord>) {
    this.#options = options;
    this.#contents = contents;
    this.#file = begin(options.path, contents());
  }

  /** Reads what a file holds, none where there is no file. A last line that was cut is left out. */
  static read(path: string): JournalRecord[] {
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
    return lines.slice(0, -1).map((line) => JSON.parse(line) as JournalRecord);
  }

  append(record: JournalRecord): void {
    if (this.#lines.length === 0) {
      process.nextTick(() => this.flush());
    }
    this.#lines.push(`${JSON.stringify(record)}\n`);
  }

  /** Must come before an answer that tells of what was appended. */
  flush(): void {
    if (this.#lines.length === 0) {
      return;
    }
    this.#bytes += writeSync(this.#file, this.#lines.join(''));
    this.#lines = [];
    if (this.#bytes > this.#options.maxBytes) {
      closeSync(this.#file);
      this.#file = begin(this.#options.path, this.#contents());
      this.#bytes = 0;
    }
  }

  close(): void {
    this.flush();
    closeSync(this.#file);
  }
}

function begin(path: string, records: Iterable<JournalRecord>): number {
  const fresh = openSync(`${path}.new`, 'w');
  for (const record of records) {
    writeSync(fresh, `${JSON.stringify(record)}\n`);
  }
  // Whoever is killed before this has the old file.
  renameSync(`${path}.new`, path);
  return fresh;
}

/** Records of a message that is new, or whose content changed. */
export function wholeEntry(mailbox: string, entry: Entry): EntryRecord {
  const { firstSequence, enqueuedAt, expiresAt, scheduledAt } = entry;
  return {
    ...changedEntry(mailbox, entry),
    content: encode(entry.content).toString('base64'),
    enqueuedAt,
    ...(firstSequence === undefined ? {} : { firstSequence }),
    ...(expiresAt === Infinity ? {} : { expiresAt }),
    ...(scheduledAt === undefined ? {} : { scheduledAt }),
  };
}

export function changedEntry(mailbox: string, entry: Entry): EntryRecord {
  const { sequence, state, deliveryCount, lock } = entry;
  const base = { record: 'entry', mailbox, sequence, state, deliveryCount } as const;
  return lock === undefined ? base : { ...base, lock: { ...lock, token: lock.token.toString('hex') } };
}

/** The message of all records about it, put together. */
export function entryOf(record: EntryRecord): Entry {
  const { sequence, state, deliveryCount, lock, firstSequence, scheduledAt } = record;
  const content = decode(Buffer.from(record.content ?? '', 'base64'));
  return {
    sequence,
    state,
    deliveryCount,
    content,
    enqueuedAt: record.enqueuedAt ?? 0,
    expiresAt: record.expiresAt ?? Infinity,
    sessionId: content.group_id,
    ...(firstSequence === undefined ? {} : { firstSequence }),
    ...(scheduledAt === undefined ? {} : { scheduledAt }),
    ...(lock === undefined ? {} : { lock: { ...lock, token: Buffer.from(lock.token, 'hex') } }),
  };
}
