// Runs the conformance command on brokers, two at a time, each in a process of its own.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { root } from '../bootstrap.mjs';
import { firstLine } from '../tally.mjs';

const AT_ONCE = 2;
const reports = join(root, '.cache', 'conformance');

/**
 * Resolves with `{ subject, report, output, code }` of each. `report` is what `--json` wrote, if it came that far; the
 * output is kept in `.cache/conformance/` too.
 * `only` names scenarios, of all or of each subject. `live` shows the progress. With `again` scenarios that failed run
 * once more when all else is over, with the machine to themselves: a lateness that was for want of processor time is
 * gone then, a defect is not.
 */
export async function runConformance(subjects, { quick = false, only = [], live = false, again = false } = {}) {
  const idsFor = typeof only === 'function' ? only : () => only;
  // One that takes longest would run alone at the end.
  const waiting = subjects.toSorted((left, right) => Number(right.isLong ?? false) - Number(left.isLong ?? false));
  const done = [];
  const next = async () => {
    for (let subject = waiting.shift(); subject !== undefined; subject = waiting.shift()) {
      done.push(await runOne(subject, [...(quick ? ['--quick'] : []), ...onlyThese(idsFor(subject))], live));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  const first = subjects.map((subject) => done.find((each) => each.subject === subject));
  const runs = again ? await secondTries(first, live) : first;
  for (const { subject, output } of runs) writeFileSync(join(reports, `${subject.name}.log`), output);
  return runs;
}

function onlyThese(ids) {
  return ids.flatMap((id) => ['--only', id]);
}

async function secondTries(runs, live) {
  const tried = [];
  for (const run of runs) {
    let latest = run;
    // Another code than 1 is of something that no scenario told. One by one: beside others they might fail again.
    for (const id of run.code === 1 ? failuresOf(run) : []) {
      latest = withSecondTry(latest, await runOne(run.subject, onlyThese([id]), live));
    }
    tried.push(latest);
  }
  return tried;
}

/** A run with what one of its failed scenarios did when it was tried once more. */
export function withSecondTry(first, second) {
  const later = new Map(second.report?.results.map((result) => [result.scenario, result]));
  const report = {
    ...first.report,
    results: first.report.results.map((result) => later.get(result.scenario) ?? result),
  };
  return {
    ...first,
    report,
    output: `${first.output}The second try of what failed:\n${second.output}`,
    code: Math.max(second.code, failuresOf({ report }).length > 0 ? 1 : 0),
    triedAgain: first.triedAgain ?? failuresOf(first),
  };
}

function failuresOf({ report }) {
  return failedResults(report).map(({ scenario }) => scenario);
}

function failedResults(report) {
  return (report?.results ?? []).filter(({ outcome }) => outcome === 'failed');
}

/** Counts over all of them. A run that ended badly though no scenario failed counts as one failure. */
export function countRuns(runs) {
  let passed = 0;
  let failed = 0;
  for (const run of runs) {
    const { report, code } = run;
    const outcomes = report?.results.map(({ outcome }) => outcome) ?? [];
    const failures = failuresOf(run).length;
    passed += outcomes.filter((outcome) => outcome === 'passed' || outcome === 'refused').length;
    failed += code === 0 ? failures : Math.max(failures, 1);
  }
  return { passed, failed, skipped: 0 };
}

/** What failed, a line each: the scenario and the first of what it said, or the last word of a run that ended badly. */
export function namesOfFailures(runs) {
  return runs
    .filter(({ code }) => code !== 0)
    .flatMap(({ subject, report, output }) => {
      const failed = failedResults(report);
      if (failed.length === 0) return [`${subject.name}: ${output.trim().split('\n').at(-1)}`];
      return failed.map(({ scenario, note = '' }) => `${subject.name} ${scenario}: ${firstLine(note)}`);
    });
}

function runOne(subject, options, live) {
  const file = join(reports, `${subject.name}.json`);
  mkdirSync(reports, { recursive: true });
  rmSync(file, { force: true });
  const command = [join(root, 'packages/conformance/dist/cli.js'), '--driver', join(root, subject.harness)];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...command, '--json', file, ...options], {
      cwd: root,
      // On Node 20 each process would print that the AWS SDK's versions of 2027 need a newer one.
      env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const hear = (line) => {
      output += `${line}\n`;
      if (live) process.stdout.write(`${subject.name.padEnd(12)} ${line}\n`);
    };
    createInterface({ input: child.stdout }).on('line', hear);
    createInterface({ input: child.stderr }).on('line', hear);
    child.once('error', reject);
    child.once('close', (code) => resolve({ subject, report: readReport(file), output, code: code ?? 1 }));
  });
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
