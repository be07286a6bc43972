import type { DeadLetter } from '@waybill/core';
import { heading, paint, print } from './report.ts';
import { type Account, sum, type Tally } from './tally.ts';

/** What is known when all is done. */
interface End {
  readonly refused: number;
  readonly letters: readonly DeadLetter[];
}

type Count = (account: Account, queue: string, tally: Tally) => number;

const BEFORE: Readonly<Record<string, Count>> = {
  handled: ({ handled }) => handled.size,
  duplicates: (_, queue, tally) => tally.duplicates(queue),
  retried: ({ retried }) => retried,
  waited: ({ waited }) => waited,
  'dead-lettered': ({ reasons }) => sum(reasons),
};

/** Prints what became of every order, a column for each consumer. True when none was lost. */
export function printResult(tally: Tally, { refused, letters }: End): boolean {
  const accounts = [...tally.accounts];
  const row = (name: string, count: Count): void =>
    print(
      line(
        name,
        accounts.map(([queue, account]) => count(account, queue, tally)),
      ),
    );
  heading('Result');
  print(line('published', [tally.copies]));
  print(line('refused', [refused]));
  print(
    line(
      '',
      accounts.map(([queue]) => queue),
    ),
  );
  for (const [name, count] of Object.entries(BEFORE)) row(name, count);
  for (const reason of reasonsOf(tally)) row(`  ${reason}`, ({ reasons }) => reasons.get(reason) ?? 0);
  row('redriven', ({ redriven }) => redriven);
  row('dead letters left', (_, queue) => letters.filter((letter) => letter.queue === queue).length);
  row('lost', (_, queue) => tally.lost(queue, letters).length);
  const lost = accounts.flatMap(([queue]) => tally.lost(queue, letters).map((id) => `${id} (${queue})`));
  if (lost.length > 0) print(paint('red', `  lost: ${lost.slice(0, 10).join(', ')}`));
  return lost.length === 0;
}

function line(name: string, cells: readonly (number | string)[]): string {
  return `  ${name.padEnd(22)}${cells.map((cell) => String(cell).padStart(9)).join('')}`;
}

function reasonsOf({ accounts }: Tally): readonly string[] {
  const all = new Set<string>();
  for (const { reasons } of accounts.values()) for (const reason of reasons.keys()) all.add(reason);
  return [...all].toSorted((one, other) => one.localeCompare(other));
}
