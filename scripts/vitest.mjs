// Runs vitest once, with any Node, and counts.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';

import { root, run } from './bootstrap.mjs';
import { firstLine } from './tally.mjs';

const results = join(root, '.cache', 'results');

/**
 * Resolves with `{ passed, failed, skipped, output, failures, triedAgain }`. A run that ends badly though no test failed
 * (an unhandled error, a file that does not load) counts as one failure. `live` shows the run instead of keeping its output. With `again`
 * files that failed run once more when all else is over, one at a time: a lateness that was for want of processor time is
 * gone then, a defect is not. `triedAgain` names them.
 */
export async function runVitest({ args = [], again = false, ...options }) {
  const first = await runOnce({ ...options, args });
  const files = again ? filesToTryAgain(first.report) : [];
  const { report, code, output } =
    files.length === 0
      ? first
      : withSecondTry(first, await runOnce({ ...options, args: ['--maxWorkers=1', ...files], part: '-again' }));
  const triedAgain = files.map((file) => relative(root, file));
  return { ...count(report, code), output, failures: namesOfFailures(report), triedAgain };
}

async function runOnce({ name, cwd = root, node = process.execPath, args, live = false, part = '' }) {
  const file = join(results, `${name}${part}.json`);
  mkdirSync(results, { recursive: true });
  rmSync(file, { force: true });
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = [`--reporter=${live ? 'default' : 'dot'}`, '--reporter=json', `--outputFile.json=${file}`];
  const { code, output } = await run(node, [vitest, 'run', ...reporters, ...args], { quiet: !live, cwd });
  return { report: readResult(file), code, output };
}

/** Those in which a test failed; none where something else is wrong than tests. */
export function filesToTryAgain(report) {
  const failed = (report?.testResults ?? []).filter(({ status }) => status === 'failed');
  return failed.some(({ assertionResults }) => assertionResults.length === 0) ? [] : failed.map(({ name }) => name);
}

/** A run with what the files that failed did when they were tried once more. A test that passed once has passed. */
export function withSecondTry(first, second) {
  const later = new Map(second.report?.testResults.map((file) => [file.name, file]));
  const testResults = first.report.testResults.map((file) => bestOf(file, later.get(file.name)));
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
  const those = (...wanted) => tests.filter(({ status }) => wanted.includes(status)).length;
  const report = {
    testResults,
    numPassedTests: those('passed'),
    numFailedTests: those('failed'),
    numPendingTests: those('pending', 'skipped', 'todo', 'disabled'),
  };
  return {
    report,
    // Where tests failed in it, that is why it ended badly.
    code: second.report?.numFailedTests > 0 ? Math.min(report.numFailedTests, 1) : second.code,
    output: `${first.output}The second try of what failed:\n${second.output}`,
  };
}

function bestOf(first, second) {
  if (second === undefined) return first;
  const passed = new Set(first.assertionResults.filter(isPassed).map(({ fullName }) => fullName));
  return {
    ...second,
    assertionResults: second.assertionResults.map((test) =>
      passed.has(test.fullName) ? { ...test, status: 'passed', failureMessages: [] } : test,
    ),
  };
}

function isPassed({ status }) {
  return status === 'passed';
}

function namesOfFailures(report) {
  return (report?.testResults ?? []).flatMap(({ name, status, message, assertionResults }) => {
    const file = relative(root, name);
    if (status === 'failed' && assertionResults.length === 0) return [`${file}: ${firstLine(message ?? '')}`];
    return assertionResults
      .filter((test) => test.status === 'failed')
      .map(({ fullName, failureMessages }) => `${file} > ${fullName}: ${firstLine(failureMessages?.[0] ?? '')}`);
  });
}

/** Counts of vitest's JSON report, made to agree with how vitest ended. */
export function count(report, code) {
  const { numPassedTests: passed = 0, numFailedTests = 0, numPendingTests: skipped = 0 } = report ?? {};
  const brokenFiles = (report?.testResults ?? []).filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  );
  const failed = numFailedTests + brokenFiles.length;
  return { passed, failed: code === 0 ? failed : Math.max(failed, 1), skipped };
}

function readResult(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
