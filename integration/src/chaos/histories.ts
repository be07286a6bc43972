import { ledgerFile, processesIn, readLedger, type Written } from './ledger.ts';

const MOST_LINES = 40;

/** What the ledgers say of some messages, in the order of time: reads them once more and keeps only these. */
export function historiesOf(
  folder: string,
  indexes: readonly number[],
  startedAt: number,
): ReadonlyMap<number, readonly string[]> {
  const found = new Map(indexes.map((index) => [index, [] as { at: number; line: string }[]]));
  for (const process of processesIn(folder, '')) {
    for (const entry of readLedger(ledgerFile(folder, process))) {
      found.get(entry.index)?.push({ at: entry.at, line: lineOf(process, entry, startedAt) });
    }
  }
  return new Map(
    [...found].map(([index, entries]) => {
      const lines = entries.toSorted((left, right) => left.at - right.at).map(({ line }) => line);
      const more = lines.length - MOST_LINES;
      return [index, more > 0 ? [...lines.slice(0, MOST_LINES), `… and ${more} more`] : lines];
    }),
  );
}

function lineOf(process: string, { at, kind, attempt, code }: Written, startedAt: number): string {
  const seconds = ((at - startedAt) / 1e6).toFixed(3).padStart(9);
  const which = attempt > 0 ? ` attempt ${attempt}` : '';
  return `${seconds} s  ${process.padEnd(14)} ${kind}${which}${code === '' ? '' : ` ${code}`}`;
}
