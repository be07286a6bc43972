import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The built demo. */
export const START = fileURLToPath(new URL('../dist/orders/start.js', import.meta.url));

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built demo to its end. */
export function runDemo(...args: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(process.execPath, [START, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** What a command prints. */
export async function output(command: string, ...args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(command, args)).stdout;
}

/** Rows of the table at the end: `{ handled: [496, 496], … }`. */
export function resultOf({ stdout }: Run): Readonly<Record<string, readonly number[]>> {
  const [, table = ''] = stdout.split('Result\n');
  const rows = [...table.matchAll(/^ +(\S.*?) +([\d ]+)$/gm)];
  return Object.fromEntries(rows.map(([, name = '', cells = '']) => [name, cells.trim().split(/ +/).map(Number)]));
}

/** What becomes of the bundled orders on every broker: billing, then mailer. */
export const BUNDLED = {
  published: [498],
  refused: [2],
  handled: [496, 496],
  duplicates: [1, 1],
  retried: [2, 2],
  waited: [2, 1],
  'dead-lettered': [1, 2],
  'handler-failed': [0, 1],
  'unknown-version': [1, 1],
  redriven: [0, 1],
  'dead letters left': [1, 1],
  lost: [0, 0],
};
