import { styleText } from 'node:util';
import type { DeadLetter } from '@waybill/core';

type Style = Parameters<typeof styleText>[0];

const MOST_LISTED = 10;
const coloured = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;

export const paint = (style: Style, text: string): string => (coloured ? styleText(style, text) : text);
export const print = (text = ''): void => void process.stdout.write(`${text}\n`);

export function heading(text: string): void {
  print(`\n${paint('bold', text)}`);
}

/** While `work` runs, a line says how far it is: rewritten on a terminal, else one a second. */
export async function withProgress<T>(line: () => string, work: () => Promise<T>): Promise<T> {
  const terminal = process.stdout.isTTY;
  const show = (): void => {
    if (terminal) process.stdout.write(`\r\u001B[2K  ${line()}`);
    else print(`  ${line()}`);
  };
  const timer = setInterval(show, terminal ? 100 : 1_000);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    show();
    if (terminal) print();
  }
}

export interface Refusal {
  /** Of the input, from 1. */
  readonly line: number;
  readonly why: string;
}

export function describeRefusals(refusals: readonly Refusal[]): void {
  if (refusals.length === 0) return;
  heading('Refused when published');
  printSome(refusals.map(({ line, why }) => `line ${line}: ${why}`));
}

export function describeLetters(letters: readonly DeadLetter[]): void {
  if (letters.length === 0) return;
  heading('Dead letters');
  printSome(
    letters.map((letter) => {
      const said = letter.error?.message ?? 'no error';
      return `${letter.queue.padEnd(9)}${letter.id.padEnd(12)}${letter.reason.padEnd(17)}attempt ${letter.attempts}: ${said}`;
    }),
  );
}

function printSome(lines: readonly string[]): void {
  for (const line of lines.slice(0, MOST_LISTED)) print(`  ${line}`);
  if (lines.length > MOST_LISTED) print(`  … and ${lines.length - MOST_LISTED} more`);
}
