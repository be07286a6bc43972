import { cpus, platform, totalmem } from 'node:os';
import type { Outcome } from './conductor.ts';
import { historiesOf } from './histories.ts';
import { label } from './disturb.ts';
import { CHECKS, type Check } from './problems.ts';
import { CONSUMERS } from './workload.ts';

/** The run for people, with the history of each message that something is wrong with. */
export function textOf(outcome: Outcome): string {
  const { publishes, consumers, memory, problems, plan, tookMs } = outcome;
  const { confirmed, uncertain, refused, unknown } = publishes;
  const lines = [
    `${plan.steps.length} faults: ${plan.steps.map(label).join(', ')}`,
    ...Object.entries(plan.leftOut).map(([fault, why]) => `without ${fault}: ${why}`),
    `published: ${confirmed} confirmed, ${uncertain} of unknown outcome, ${unknown} by a process that died before it was told, ${refused} not stored`,
    ...CONSUMERS.map((name) => {
      const { distinct, handled, failed, aborted, letters, repeats, bound } = consumers[name];
      return `${name}: ${distinct} messages over, ${handled} handled, ${failed} failed, ${aborted} given up, ${letters} dead letters, ${repeats} attempts again (at most ${bound})`;
    }),
    `memory: ${memory.map(({ process, third, end }) => `${process} ${third} → ${end} MiB`).join(', ')}`,
    `took ${Math.round(tookMs / 1_000)} s`,
    '',
    ...(Object.keys(CHECKS) as Check[]).map((check) => verdictOf(outcome, check)),
  ];
  return problems.total === 0 ? lines.join('\n') : [...lines, ...detailsOf(outcome)].join('\n');
}

function verdictOf({ problems }: Outcome, check: Check): string {
  const count = problems.count(check);
  return `${count === 0 ? 'ok    ' : 'FAILED'}  ${CHECKS[check]}${count === 0 ? '' : `: ${count} times not`}`;
}

function detailsOf({ problems, folder, startedAt }: Outcome): readonly string[] {
  const indexes = problems.kept.flatMap(({ index }) => (index === undefined ? [] : [index]));
  const histories = historiesOf(folder, indexes, startedAt);
  const details = problems.kept.flatMap(({ check, what, index }) => [
    '',
    `${check}: ${index === undefined ? '' : `step-${index} `}${what}`,
    ...(histories.get(index ?? -1) ?? []),
  ]);
  return [...details, '', `All that was written down: ${folder}`];
}

/** The run for machines. Nothing in it names the machine. */
export function jsonOf(outcome: Outcome, run: { readonly broker: string; readonly command: string }): object {
  const { plan, publishes, consumers, memory, problems, version, tookMs } = outcome;
  const counts = Object.fromEntries((Object.keys(CHECKS) as Check[]).map((check) => [check, problems.count(check)]));
  return {
    ...run,
    version,
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      platform: platform(),
      node: process.versions.node,
    },
    tookMs,
    plan,
    publishes,
    consumers,
    memory,
    failed: counts,
    problems: problems.kept,
  };
}
