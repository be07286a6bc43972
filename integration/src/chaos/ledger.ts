import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** What is written down, in the order of its numbers in files. */
export const KINDS = [
  // Of publishers.
  'intent',
  'confirmed',
  'rejected',
  // Of consumers. `aborted`: the handler gave up because its signal said so. `dies`: it kills its process now. `misused`: the
  // broker says that it was asked to settle what it did not hand out.
  'started',
  'handled',
  'failed',
  'aborted',
  'dead',
  'dies',
  'misused',
  // Of the conductor: what the dead lane held.
  'letter',
] as const;
export type Kind = (typeof KINDS)[number];

/** What a rejection or a dead letter says. */
const CODES = [
  '',
  'TIMEOUT',
  'UNAVAILABLE',
  'THROTTLED',
  'CLOSED',
  'handler-failed',
  'rejected',
  'timed-out',
  'undecodable',
  'invalid',
  'unknown-type',
  'unknown-version',
  'crash-loop',
  'something else',
] as const;

export const NO_MESSAGE = 0xff_ff_ff_ff;

export interface Entry {
  readonly kind: Kind;
  /** The message, or `NO_MESSAGE`. */
  readonly index: number;
  readonly attempt?: number;
  /** Of a rejection the error's code, of a dead letter its reason. */
  readonly code?: string;
}

/** An entry as it was read. */
export interface Written extends Required<Entry> {
  /** µs of a clock that all processes of the machine share. */
  readonly at: number;
}

const BYTES = 16;
const READ_AT_ONCE = 4_096;
const EXTENSION = '.ledger';

/** µs since the machine started. */
export function now(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

/**
 * What one process writes down. Each entry is in the kernel's hands when `add` returns: a process that is killed then
 * forgets nothing.
 */
export class Ledger {
  readonly #file: number;
  readonly #entry: Buffer = Buffer.alloc(BYTES);

  /** Goes on where the file ends. */
  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  add({ kind, index, attempt = 0, code = '' }: Entry, at: number = now()): void {
    const known = (CODES as readonly string[]).indexOf(code);
    this.#entry.writeUInt32LE(index, 0);
    this.#entry.writeUInt8(KINDS.indexOf(kind), 4);
    this.#entry.writeUInt8(Math.min(attempt, 255), 5);
    this.#entry.writeUInt8(known === -1 ? CODES.length - 1 : known, 6);
    this.#entry.writeDoubleLE(at, 8);
    writeSync(this.#file, this.#entry);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** A file's name: `ordered-1.3.ledger` is of the third life of the first process of the ordered consumer. */
export function ledgerFile(folder: string, process: string): string {
  return join(folder, `${process}${EXTENSION}`);
}

/** Names of the processes that wrote ledgers and begin with `start`, in order. */
export function processesIn(folder: string, start: string): readonly string[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(start) && name.endsWith(EXTENSION))
    .map((name) => name.slice(0, -EXTENSION.length))
    .toSorted((left, right) => left.localeCompare(right, 'en', { numeric: true }));
}

/** The entries of a file in order. What a kill left half written at its end is not one. */
export function* readLedger(path: string): Generator<Written> {
  const file = openSync(path, 'r');
  const chunk = Buffer.alloc(BYTES * READ_AT_ONCE);
  try {
    for (let position = 0; ;) {
      const whole = Math.floor(readSync(file, chunk, 0, chunk.length, position) / BYTES) * BYTES;
      if (whole === 0) return;
      for (let from = 0; from < whole; from += BYTES) yield entryAt(chunk, from);
      position += whole;
    }
  } finally {
    closeSync(file);
  }
}

function entryAt(chunk: Buffer, from: number): Written {
  return {
    index: chunk.readUInt32LE(from),
    kind: KINDS[chunk.readUInt8(from + 4)] ?? 'aborted',
    attempt: chunk.readUInt8(from + 5),
    code: CODES[chunk.readUInt8(from + 6)] ?? '',
    at: chunk.readDoubleLE(from + 8),
  };
}

interface Open {
  readonly process: string;
  readonly rest: Iterator<Written>;
  entry: Written;
}

/** The entries of several processes in the order of time, with who wrote each. Holds one entry of each file. */
export function* mergeLedgers(
  folder: string,
  processes: readonly string[],
): Generator<readonly [process: string, Written]> {
  const open: Open[] = [];
  // The earliest is last, where it is cheap to take.
  const insert = (item: Open): void => {
    let [low, high] = [0, open.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((open[middle] as Open).entry.at > item.entry.at) low = middle + 1;
      else high = middle;
    }
    open.splice(low, 0, item);
  };
  for (const process of processes) {
    const rest = readLedger(ledgerFile(folder, process));
    const first = rest.next();
    if (first.done !== true) insert({ process, rest, entry: first.value });
  }
  for (let item = open.pop(); item !== undefined; item = open.pop()) {
    yield [item.process, item.entry];
    const next = item.rest.next();
    if (next.done === true) continue;
    item.entry = next.value;
    insert(item);
  }
}
