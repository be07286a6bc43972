import type { FetchedMessage, FetchedPartition } from './kafkajs-cluster.ts';
import type { StoredRecord } from './port.ts';

/** What a reader sees of a fetched partition from `from` on, and where it reads on. */
export function visibleRecords(
  { messages, abortedTransactions }: FetchedPartition,
  from: number,
): { readonly records: readonly StoredRecord[]; readonly next: number } {
  const aborted =
    abortedTransactions === null || abortedTransactions.length === 0 ? undefined : new Aborted(abortedTransactions);
  const records: StoredRecord[] = [];
  let next = from;
  for (const message of messages) {
    const offset = Number(message.offset);
    const isVisible = aborted === undefined ? message.isControlRecord !== true : aborted.shows(message, offset);
    // Whole batches are stored and read, also when what was asked for is in the middle of one.
    if (offset < from) continue;
    next = offset + 1;
    if (isVisible) records.push(toRecord(message, offset));
  }
  // Compaction may have taken the end of a batch.
  const context = messages.at(-1)?.batchContext;
  const end = context === undefined ? next : Number(context.firstOffset) + context.lastOffsetDelta + 1;
  return { records, next: Math.max(next, end) };
}

function toRecord(message: FetchedMessage, offset: number): StoredRecord {
  const { key, value, headers } = message;
  return { offset, timestamp: Number(message.timestamp), key, value, headers };
}

/** Transactions of other programs that were aborted: their records are in the log, and nobody may see them. */
class Aborted {
  readonly #starts: { readonly producerId: string; readonly firstOffset: number }[];
  readonly #open = new Set<string>();

  constructor(transactions: readonly { readonly producerId: string; readonly firstOffset: string }[]) {
    this.#starts = transactions
      .map(({ producerId, firstOffset }) => ({ producerId, firstOffset: Number(firstOffset) }))
      .toSorted((a, b) => a.firstOffset - b.firstOffset);
  }

  shows({ isControlRecord, batchContext }: FetchedMessage, offset: number): boolean {
    while ((this.#starts[0]?.firstOffset ?? Number.POSITIVE_INFINITY) <= offset) {
      this.#open.add((this.#starts.shift() as { producerId: string }).producerId);
    }
    const producerId = batchContext?.producerId ?? '';
    if (isControlRecord === true) {
      // It ends the transaction, however that was.
      this.#open.delete(producerId);
      return false;
    }
    return batchContext?.inTransaction !== true || !this.#open.has(producerId);
  }
}
