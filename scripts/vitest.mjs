// Runs vitest once, with any Node, and counts.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { root, run } from './bootstrap.mjs';

const results = join(root, '.cache', 'results');

/**
 * Resolves with `{ passed, failed, skipped, output }`. A run that ends badly though no test failed (an unhandled error, a
 * file that does not load) counts as one failure. `live` shows the run instead of keeping its output.
 */
export async function runVitest({ name, cwd = root, node = process.execPath, args = [], live = false }) {
  const file = join(results, `${name}.json`);
  mkdirSync(results, { recursive: true });
  rmSync(file, { force: true });
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = [`--reporter=${live ? 'default' : 'dot'}`, '--reporter=json', `--outputFile.json=${file}`];
  const { code, output } = await run(node, [vitest, 'run', ...reporters, ...args], { quiet: !live, cwd });
  return { ...count(readResult(file), code), output };
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
