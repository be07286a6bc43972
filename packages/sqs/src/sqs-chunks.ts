import { MOST_ENTRIES } from './sqs-lanes.ts';

export interface Sized {
  readonly bytes: number;
}

/** As few requests as hold all, in order. */
export function chunksOf<T extends Sized>(items: readonly T[], maxBytes: number): T[][] {
  const chunks: T[][] = [];
  let bytes = 0;
  for (const item of items) {
    const last = chunks.at(-1);
    if (last === undefined || last.length === MOST_ENTRIES || bytes + item.bytes > maxBytes) {
      chunks.push([item]);
      bytes = item.bytes;
    } else {
      last.push(item);
      bytes += item.bytes;
    }
  }
  return chunks;
}

/**
 * No round has two of one group: the second of a group is sent once the first is stored. SQS stores the others of a
 * request when one of it fails, which would put the second before the first.
 */
export function roundsOf<T extends { readonly group?: string }>(items: readonly T[]): T[][] {
  const rounds: T[][] = [];
  const sizes = new Map<string, number>();
  for (const item of items) {
    const group = item.group ?? '';
    const round = sizes.get(group) ?? 0;
    sizes.set(group, round + 1);
    (rounds[round] ??= []).push(item);
  }
  return rounds;
}
