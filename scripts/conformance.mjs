// The conformance suite on the brokers that this repository has drivers for:
// `pnpm conformance [BROKER…] [--full [--one] [--beyond-quick]] [--only ID]… [--record]`.
import { parseArgs } from 'node:util';

import { build, ensureDependencies, ensureNode, main } from './bootstrap.mjs';
import { changedFiles, choose, turnOf } from './conformance/choice.mjs';
import { recordReports } from './conformance/record.mjs';
import { countRuns, namesOfFailures, runConformance } from './conformance/run.mjs';
import { quickSubjects, subjectsNamed, SUBJECTS } from './conformance/subjects.mjs';
import { failureLines } from './tally.mjs';

const OPTIONS = {
  // All scenarios instead of the quick set.
  full: { type: 'boolean', default: false },
  // Memory and one real broker: the one that the change touches, else in rotation.
  one: { type: 'boolean', default: false },
  // Of each only what the quick set leaves out, where that runs by itself.
  'beyond-quick': { type: 'boolean', default: false },
  only: { type: 'string', multiple: true, default: [] },
  // Keeps the results in docs/conformance.json and renews docs/conformance.md.
  record: { type: 'boolean', default: false },
};

await main(async () => {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
  const subjects = await chosen(positionals, values);
  ensureNode();
  await ensureDependencies();
  await build();
  const quick = !values.full && values.only.length === 0;
  const only = values['beyond-quick'] ? await beyondQuick() : values.only;
  // What goes on record is a first try.
  const runs = await runConformance(subjects, { quick, only, live: true, again: !values.record });
  if (values.record) await record(runs);
  for (const { subject, output } of runs)
    process.stdout.write(`${subject.name}: ${output.trim().split('\n').at(-1)}\n`);
  const { passed, failed } = countRuns(runs);
  process.stdout.write(`\n${failureLines(namesOfFailures(runs))}${passed} passed, ${failed} failed\n`);
  if (failed > 0 || passed === 0) process.exitCode = 1;
});

async function chosen(names, { one, full, only }) {
  if (one) return memoryAndOne();
  const subjects = subjectsNamed(names);
  if (names.length > 0 || only.length > 0) return subjects;
  return full ? subjects.filter(({ isVariant }) => isVariant !== true) : quickSubjects(subjects, process.env);
}

/** For a subject, the scenarios that `npm test` does not run on it; none are all. */
async function beyondQuick() {
  const { SCENARIOS } = await import('../packages/conformance/dist/index.js');
  const rest = SCENARIOS.filter(({ quick }) => quick !== true).map(({ id }) => id);
  const quickly = quickSubjects(SUBJECTS, process.env);
  return (subject) => (quickly.includes(subject) ? rest : []);
}

async function memoryAndOne() {
  const { subject, why } = choose(SUBJECTS, await changedFiles(), turnOf(new Date()));
  process.stdout.write(`full set on memory and on ${subject.name}: ${why}\n`);
  return [...SUBJECTS.filter(({ real, isVariant }) => !real && isVariant !== true), subject];
}

async function record(runs) {
  const { SCENARIOS } = await import('../packages/conformance/dist/index.js');
  const reports = runs.flatMap(({ subject, report }) => (subject.isVariant === true ? [] : (report ?? [])));
  recordReports(reports, new Set(SCENARIOS.map(({ id }) => id)));
  const { writePage } = await import('./checks/conformance.mjs');
  await writePage();
}
