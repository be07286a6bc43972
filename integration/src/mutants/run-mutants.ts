import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Result, SCENARIOS } from '@waybill/conformance';
import type { Mutant } from './mutant.ts';
import { MUTANTS } from './mutants.ts';

/** How many run at the same time: on memory they wait more than they compute. */
const AT_ONCE = { memory: 28, rabbitmq: 2 } as const;

const { values } = parseArgs({ options: { broker: { type: 'string', default: 'memory' }, only: { type: 'string' } } });
const broker = values.broker === 'rabbitmq' ? 'rabbitmq' : 'memory';
const deadlines = new Map(SCENARIOS.map(({ id, deadlineMs }) => [id, deadlineMs]));
/** The longest first, so that none of them is alone at the end. */
const mutants = MUTANTS.filter((each) => tableOf(each) === broker && each.name.includes(values.only ?? ''))
  .map((mutant) => ({ mutant, upToMs: Math.max(...mutant.caughtBy.map((id) => deadlines.get(id) ?? 0)) }))
  .toSorted((a, b) => b.upToMs - a.upToMs)
  .map(({ mutant }) => mutant);

interface Run {
  /** Absent: the defect ended the process, which is caught too. */
  readonly results?: readonly Result[];
  /** What it wrote to stderr. */
  readonly said: string;
}

/** The table that a mutant is in: with what needs no broker, or with one real broker. */
function tableOf({ broker: harness = 'memory' }: Mutant): keyof typeof AT_ONCE | 'chaos' {
  return harness === 'memory-sparse' ? 'memory' : harness;
}

/** Runs the scenarios that must catch a mutant, in a process of its own. */
function run({ name, caughtBy, broker: harness = 'memory' }: Mutant): Promise<Run> {
  return new Promise((resolve) => {
    const child = fork(fileURLToPath(new URL('./run-one.js', import.meta.url)), [harness, ...caughtBy], {
      execArgv: ['--import', new URL('./register.js', import.meta.url).href],
      env: { ...process.env, WAYBILL_MUTANT: name },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let said = '';
    let results: readonly Result[] | undefined;
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.on('message', (message) => {
      results = message as readonly Result[];
    });
    child.on('exit', () => resolve(results === undefined ? { said } : { results, said }));
  });
}

/** The scenarios that should have caught it and did not, and what else is wrong with it. */
function judge({ caughtBy }: Mutant, { results, said }: Run): readonly string[] {
  const stale = /mutant ".*$/m.exec(said);
  if (stale !== null) return [stale[0]];
  const outcomes = new Map(results?.map(({ id, outcome }) => [id, outcome]));
  return caughtBy.flatMap((id) => {
    const outcome = results === undefined ? 'failed' : (outcomes.get(id) ?? 'unknown');
    return outcome === 'failed' ? [] : [`${id} ${outcome}`];
  });
}

async function verdictOn(mutant: Mutant): Promise<boolean> {
  const startedAt = Date.now();
  const wrong = judge(mutant, await run(mutant));
  const took = `${((Date.now() - startedAt) / 1000).toFixed(1)} s`.padStart(7);
  const verdict = wrong.length === 0 ? `caught   ${took}` : `SURVIVED ${took}`;
  const scenarios = mutant.caughtBy.join(', ');
  const why = wrong.length === 0 ? '' : `  (${wrong.join('; ')})`;
  process.stdout.write(`${verdict}  ${mutant.name.padEnd(64)}  ${scenarios}${why}\n`);
  return wrong.length === 0;
}

const startedAt = Date.now();
const waiting = [...mutants];
const survivors: Mutant[] = [];
let caught = 0;
const next = async (): Promise<void> => {
  for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
    if (await verdictOn(mutant)) caught += 1;
    else survivors.push(mutant);
  }
};
await Promise.all(Array.from({ length: AT_ONCE[broker] }, next));
const missed: string[] = [];
// Once more with the machine to themselves: some defects show in races, which a busy machine decides otherwise.
for (const mutant of survivors) {
  if (await verdictOn(mutant)) caught += 1;
  else missed.push(`mutant survives: ${mutant.name}`);
}

const failing = new Set(MUTANTS.flatMap(({ caughtBy }) => caughtBy));
const unproven = SCENARIOS.filter(({ id }) => !failing.has(id));
const seconds = Math.round((Date.now() - startedAt) / 1000);
process.stdout.write(
  `${caught} of ${mutants.length} mutants on ${broker} caught in ${seconds} s; ${SCENARIOS.length - unproven.length} of ${SCENARIOS.length} scenarios fail on one\n\n`,
);
const failures = [...missed, ...unproven.map(({ id }) => `no mutant: ${id}`)];
for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
process.stdout.write(`${caught} passed, ${failures.length} failed\n`);
process.exitCode = failures.length > 0 ? 1 : 0;
