import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Result, selectScenarios } from '@waybill/conformance';
import type { Mutant } from './mutant.ts';
import { MUTANTS } from './mutants.ts';

/** They wait more than they compute. */
const AT_ONCE = 4 * availableParallelism();

const { values } = parseArgs({ options: { broker: { type: 'string', default: 'memory' }, only: { type: 'string' } } });
const mutants = MUTANTS.filter(
  ({ name, broker = 'memory' }) => broker === values.broker && name.includes(values.only ?? ''),
);

/** Results by scenario id of a run in a process of its own. */
function runOne(mutant: Mutant | undefined, broker: string, only: readonly string[]): Promise<readonly Result[]> {
  return new Promise((resolve) => {
    const child = fork(fileURLToPath(new URL('./run-one.js', import.meta.url)), [broker, ...only], {
      execArgv: ['--import', new URL('./register.js', import.meta.url).href],
      env: { ...process.env, WAYBILL_MUTANT: mutant?.name ?? '' },
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
    // A defect that ends the process is caught too; one that is out of date says so.
    child.on('exit', () => {
      if (said.includes('mutant "')) process.stderr.write(said);
      resolve(
        results ??
          only.map((id) => ({
            id,
            guarantee: '',
            sentence: '',
            outcome: said.includes('mutant "') ? 'passed' : 'failed',
            durationMs: 0,
          })),
      );
    });
  });
}

async function verdictOf(mutant: Mutant): Promise<readonly string[]> {
  const results = await runOne(mutant, values.broker, mutant.caughtBy);
  const survived = results.filter(({ outcome }) => outcome !== 'failed').map(({ id }) => id);
  const mark = survived.length === 0 ? 'caught  ' : 'SURVIVED';
  process.stdout.write(
    `${mark}  ${mutant.name.padEnd(64)}  ${mutant.caughtBy.join(', ')}${survived.length > 0 ? `  not by ${survived.join(', ')}` : ''}\n`,
  );
  return survived;
}

const startedAt = Date.now();
const waiting = [...mutants];
let survivors = 0;
const next = async (): Promise<void> => {
  for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
    if ((await verdictOf(mutant)).length > 0) survivors += 1;
  }
};
await Promise.all(Array.from({ length: AT_ONCE }, next));

const control = values.only === undefined ? await runOne(undefined, values.broker, []) : [];
const applicable = control.filter(({ outcome }) => outcome === 'passed' || outcome === 'failed').map(({ id }) => id);
const broken = control.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id);
const tested = new Set(mutants.flatMap(({ caughtBy }) => caughtBy));
const untested = applicable.filter((id) => !tested.has(id));
for (const id of broken) process.stdout.write(`FAILS WITHOUT A MUTANT  ${id}\n`);
for (const id of untested) process.stdout.write(`NO MUTANT  ${id}\n`);
const seconds = Math.round((Date.now() - startedAt) / 1000);
process.stdout.write(
  `${mutants.length - survivors} of ${mutants.length} mutants caught, ${applicable.length - untested.length} of ${applicable.length} scenarios of ${selectScenarios(undefined).length} fail on one, ${seconds} s\n`,
);
process.exitCode = survivors + broken.length + untested.length > 0 ? 1 : 0;
