// Runs vitest once, with any Node, and counts.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';

import { root, run } from './bootstrap.mjs';

const results = join(root, '.cache', 'results');

/**
 * Resolves with `{ passed, failed, skipped, output, triedAgain }`. A run that ends badly though no test failed (an unhandled
 * error, a file that does not load) counts as one failure. `live` shows the run instead of keeping its output. With `again`
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
  return { ...count(report, code), output, triedAgain: files.map((file) => relative(root, file)) };
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

/** A run with what the files that failed did when they were tried once more. */
export function withSecondTry(first, second) {
  const later = new Map(second.report?.testResults.map((file) => [file.name, file]));
  const testResults = first.report.testResults.map((file) => later.get(file.name) ?? file);
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
  const those = (...wanted) => tests.filter(({ status }) => wanted.includes(status)).length;
  return {
    report: {
      testResults,
      numPassedTests: those('passed'),
      numFailedTests: those('failed'),
      numPendingTests: those('pending', 'skipped', 'todo', 'disabled'),
    },
    code: second.code,
    output: `${first.output}The second try of what failed:\n${second.output}`,
  };
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
