// Runs the conformance command on brokers, two at a time, each in a process of its own.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { root } from '../bootstrap.mjs';

const AT_ONCE = 2;
const reports = join(root, '.cache', 'conformance');

/**
 * Resolves with `{ subject, report, output, code }` of each. `report` is what `--json` wrote, if it came that far.
 * `only` names scenarios, of all or of each subject. `live` shows the progress.
 */
export async function runConformance(subjects, { quick = false, only = [], live = false } = {}) {
  const idsFor = typeof only === 'function' ? only : () => only;
  const waiting = [...subjects];
  const done = [];
  const next = async () => {
    for (let subject = waiting.shift(); subject !== undefined; subject = waiting.shift()) {
      const ids = idsFor(subject).flatMap((id) => ['--only', id]);
      done.push(await runOne(subject, [...(quick ? ['--quick'] : []), ...ids], live));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  return subjects.map((subject) => done.find((each) => each.subject === subject));
}

/** Counts over all of them. A run that ended badly though no scenario failed counts as one failure. */
export function countRuns(runs) {
  let passed = 0;
  let failed = 0;
  for (const { report, code } of runs) {
    const outcomes = report?.results.map(({ outcome }) => outcome) ?? [];
    const failures = outcomes.filter((outcome) => outcome === 'failed').length;
    passed += outcomes.filter((outcome) => outcome === 'passed' || outcome === 'refused').length;
    failed += code === 0 ? failures : Math.max(failures, 1);
  }
  return { passed, failed, skipped: 0 };
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
