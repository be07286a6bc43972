import { Account } from './account.ts';
import { boundOf } from './bounds.ts';
import type { Disruption, End, Memory } from './journal.ts';
import { processesIn, ledgerFile, readLedger } from './ledger.ts';
import { Problems } from './problems.ts';
import { Publishes } from './publishes.ts';
import type { ConsumerName, Workload } from './workload.ts';

/** All that is known of a run beside its ledgers. */
export interface Evidence {
  readonly folder: string;
  readonly workload: Workload;
  readonly startedAt: number;
  readonly disruptions: readonly Disruption[];
  readonly ends: readonly End[];
  readonly memories: readonly Memory[];
}

export interface Verdict {
  readonly problems: Problems;
  readonly publishes: Publishes['counts'];
  readonly consumers: Readonly<Record<ConsumerName, Account['counts'] & { readonly bound: number }>>;
  readonly memory: readonly Growth[];
}

/** MiB that a process held at the end of the first third of its life, and at its end. */
export interface Growth {
  readonly process: string;
  readonly third: number;
  readonly end: number;
}

/** A shorter life is still warming up. */
const LIFE_MS = 60_000;
const MOST_GROWTH_MIB = 16;

/** Checks that every message is accounted for. Reads the ledgers from end to end and holds a few bytes for each message. */
export function checkRun(evidence: Evidence, problems: Problems = new Problems()): Verdict {
  const { folder, workload, startedAt, disruptions } = evidence;
  const publishes = new Publishes(folder, workload, { startedAt, problems });
  const check = (consumer: ConsumerName): Verdict['consumers'][ConsumerName] => {
    const emptiedAt = emptiedBy(disruptions, consumer);
    const { counts } = new Account({
      folder,
      workload,
      consumer,
      publishes,
      disruptions,
      startedAt,
      emptiedAt,
      problems,
    });
    const bound = boundOf(disruptions, consumer);
    const what = `${counts.repeats} attempts ran again in ${consumer}, and faults explain at most ${bound}`;
    if (counts.repeats > bound) problems.add({ check: 'duplicates', what });
    return { ...counts, bound };
  };
  const consumers = { ordered: check('ordered'), concurrent: check('concurrent') };
  checkEnds(evidence, problems);
  const memory = evidence.memories.flatMap(growthOf);
  for (const { process, third, end } of memory) {
    const what = `${process} grew from ${third} to ${end} MiB`;
    if (end - third > MOST_GROWTH_MIB) problems.add({ check: 'memory', what });
  }
  return { problems, publishes: publishes.counts, consumers, memory };
}

/** When the dead lane of a consumer was last made anew. */
function emptiedBy(disruptions: readonly Disruption[], consumer: ConsumerName): number {
  const refusals = disruptions.filter(({ fault }) => fault.startsWith(`refuse-dead-${consumer}`));
  return Math.max(Number.NEGATIVE_INFINITY, ...refusals.map(({ until }) => until));
}

/** By themselves end a publisher that is done, and a process that wrote down that it kills itself. */
function checkEnds({ ends, folder }: Evidence, problems: Problems): void {
  for (const { process, code, signal, ordered } of ends) {
    if (ordered || (code === 0 && process.startsWith('publisher-')) || killedItself(folder, process)) continue;
    problems.add({ check: 'processes', what: `${process} ended with ${signal ?? `code ${code}`}` });
  }
}

function killedItself(folder: string, process: string): boolean {
  if (!processesIn(folder, process).includes(process)) return false;
  for (const { kind } of readLedger(ledgerFile(folder, process))) if (kind === 'dies') return true;
  return false;
}

function growthOf({ process, samples }: Memory): readonly Growth[] {
  const [first, last] = [samples.at(0), samples.at(-1)];
  if (first === undefined || last === undefined || last.atMs - first.atMs < LIFE_MS) return [];
  const thirdMs = first.atMs + (last.atMs - first.atMs) / 3;
  const near = samples.findIndex(({ atMs }) => atMs >= thirdMs);
  return [{ process, third: median(samples.slice(near, near + 3)), end: median(samples.slice(-3)) }];
}

function median(samples: Memory['samples']): number {
  const sorted = samples.map(({ mib }) => mib).toSorted((left, right) => left - right);
  return Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0);
}
