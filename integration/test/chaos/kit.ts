import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

import { checkRun, type Evidence, type Verdict } from '../../src/chaos/check.ts';
import { type Entry, Ledger, ledgerFile } from '../../src/chaos/ledger.ts';
import type { Check } from '../../src/chaos/problems.ts';
import { ATTEMPTS, CONSUMERS, Workload } from '../../src/chaos/workload.ts';

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-chaos-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** One line of a ledger that is made by hand: its time is its place. */
export interface Line extends Entry {
  readonly process: string;
}

const MESSAGES = 600;
export const workload: Workload = new Workload(MESSAGES, 1);

/** The first message from `from` on for which it holds. */
export function find(holds: (index: number) => boolean, from = 0): number {
  for (let index = from; index < MESSAGES; index += 1) if (holds(index)) return index;
  throw new Error('no such message');
}

/** Neither poison nor the killer in either consumer. */
export const isPlain = (index: number): boolean =>
  index !== workload.killer && CONSUMERS.every((consumer) => !workload.isPoison(consumer, index));

/** What a run without any fault writes down. */
export function faultless(): Line[] {
  const lines: Line[] = [];
  for (let index = 0; index < MESSAGES; index += 1) {
    const process = `publisher-${(index % 3) + 1}.1`;
    lines.push({ process, kind: 'intent', index }, { process, kind: 'confirmed', index });
    for (const consumer of CONSUMERS) lines.push(...handled(consumer, index));
  }
  return lines;
}

function handled(consumer: (typeof CONSUMERS)[number], index: number): readonly Line[] {
  const process = `${consumer}-1.1`;
  if (!workload.isPoison(consumer, index)) {
    return [
      { process, kind: 'started', index, attempt: 1 },
      { process, kind: 'handled', index, attempt: 1 },
    ];
  }
  const code = 'handler-failed';
  const attempts = Array.from({ length: ATTEMPTS }, (_, before) => before + 1);
  return [
    ...attempts.flatMap((attempt): Line[] => [
      { process, kind: 'started', index, attempt },
      { process, kind: 'failed', index, attempt },
    ]),
    { process, kind: 'dead', index, attempt: ATTEMPTS, code },
    { process: `letters-${consumer}`, kind: 'letter', index, attempt: ATTEMPTS, code },
  ];
}

/** Writes the lines at 1 ms each and checks them. */
export function verdictOn(
  lines: readonly Line[],
  { folder = newFolder(), ...evidence }: Partial<Evidence> = {},
): Verdict {
  const ledgers = new Map<string, Ledger>();
  for (const [place, { process, ...entry }] of lines.entries()) {
    const ledger = ledgers.get(process) ?? new Ledger(ledgerFile(folder, process));
    ledgers.set(process, ledger);
    ledger.add(entry, place * 1_000);
  }
  for (const ledger of ledgers.values()) ledger.close();
  return checkRun({ folder, workload, startedAt: 0, disruptions: [], ends: [], memories: [], ...evidence });
}

/** The checks that failed, with how often. */
export function failed({ problems }: Verdict): Partial<Record<Check, number>> {
  const checks = new Set(problems.kept.map(({ check }) => check));
  return Object.fromEntries([...checks].map((check) => [check, problems.count(check)]));
}
