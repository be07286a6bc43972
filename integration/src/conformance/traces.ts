import { appendFileSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFile } from '../paths.ts';
import { isAlive, startOf } from '../process-life.ts';

const FILE = /^traces-(\d+)-(\d*)\.jsonl$/;

/** One thing that a run made on a broker which outlives the run. */
export interface Trace {
  /** Host and port, without credentials. */
  readonly broker: string;
  readonly kind: string;
  readonly name: string;
}

/** Writes down what a run makes, before it is made, so that a later run can remove it should this one crash. */
export function noteTraces(traces: readonly Trace[], runBy: number): void {
  appendFileSync(fileOf(runBy), traces.map((trace) => `${JSON.stringify(trace)}\n`).join(''));
}

/** This process removed all that it made. */
export function forgetTraces(): void {
  rmSync(fileOf(process.pid), { force: true });
}

/** Hands what dead processes left on this broker to `remove`, and forgets it then. */
export async function sweepTraces(
  broker: string,
  remove: (traces: readonly Trace[]) => Promise<void>,
): Promise<readonly Trace[]> {
  const folder = dirname(cacheFile('traces'));
  const swept: Trace[] = [];
  for (const name of readdirSync(folder)) {
    const [, pid, started = ''] = FILE.exec(name) ?? [];
    if (pid === undefined || isAlive(Number(pid), started)) continue;
    const traces = readTraces(join(folder, name));
    const own = traces.filter((trace) => trace.broker === broker);
    if (own.length > 0) await remove(own);
    if (own.length === traces.length) rmSync(join(folder, name), { force: true });
    swept.push(...own);
  }
  return swept;
}

function fileOf(pid: number): string {
  return cacheFile(`traces-${pid}-${startOf(pid)}.jsonl`);
}

function readTraces(file: string): readonly Trace[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  // The last line may be half written.
  return lines.flatMap((line) => {
    try {
      return [JSON.parse(line) as Trace];
    } catch {
      return [];
    }
  });
}
