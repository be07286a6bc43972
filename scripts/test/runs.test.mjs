// `npm test` and `pnpm check` fail when something in them does.
import { describe, expect, test } from 'vitest';

import { otherNodes } from '../nodes.mjs';
import { runSteps } from '../steps.mjs';
import { Tally } from '../tally.mjs';
import { count, filesToTryAgain, withSecondTry } from '../vitest.mjs';

const silent = () => {};

describe('the steps of a check', () => {
  const step = (name, problems, after) => ({ name, after, load: async () => ({ check: async () => problems }) });

  test('are counted, with the problems of those that failed', async () => {
    const printed = [];
    const steps = [step('types', []), step('lint', ['a.ts:1: no'])];
    expect(await runSteps(steps, ['types', 'lint'], (text) => printed.push(text))).toEqual({
      passed: 1,
      failed: 1,
      failures: ['lint'],
    });
    expect(printed.join('')).toContain('a.ts:1: no');
  });

  test('fail when they throw or cannot be loaded', async () => {
    const throws = { name: 'throws', load: async () => ({ check: () => Promise.reject(new Error('no tar')) }) };
    const missing = { name: 'missing', load: () => Promise.reject(new Error('no file')) };
    expect(await runSteps([throws, missing], ['throws', 'missing'], silent)).toMatchObject({ passed: 0, failed: 2 });
  });

  test('bring the step that they come after, and fail unrun when it does', async () => {
    const steps = [step('build', ['broken']), step('docs', [], 'build'), step('lint', [])];
    expect(await runSteps(steps, ['docs'], silent)).toMatchObject({ passed: 0, failed: 2 });
  });
});

describe('a vitest run', () => {
  const report = { numPassedTests: 3, numFailedTests: 0, numPendingTests: 1, testResults: [] };

  test('counts its tests', () => {
    expect(count(report, 0)).toEqual({ passed: 3, failed: 0, skipped: 1 });
    expect(count({ ...report, numFailedTests: 2 }, 1)).toEqual({ passed: 3, failed: 2, skipped: 1 });
  });

  test('that ends badly has failed though no test did', () => {
    expect(count(report, 1).failed).toBe(1);
    expect(count(undefined, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  });

  test('counts a file that does not load', () => {
    const broken = { status: 'failed', assertionResults: [] };
    expect(count({ ...report, numFailedTests: 1, testResults: [broken] }, 1).failed).toBe(2);
  });
});

describe('the second try of a vitest run', () => {
  const file = (name, ...statuses) => ({
    name,
    status: statuses.includes('failed') || statuses.length === 0 ? 'failed' : 'passed',
    assertionResults: statuses.map((status, n) => ({ status, fullName: `test ${n}` })),
  });
  const first = {
    report: { testResults: [file('/a', 'passed', 'skipped'), file('/b', 'passed', 'failed')] },
    output: '',
  };

  test('is of the files with a failed test, and of none where a file does not load', () => {
    expect(filesToTryAgain(first.report)).toEqual(['/b']);
    expect(filesToTryAgain({ testResults: [...first.report.testResults, file('/c')] })).toEqual([]);
    expect(filesToTryAgain(undefined)).toEqual([]);
  });

  test('decides about those files', () => {
    const good = { report: { testResults: [file('/b', 'passed', 'passed')] }, code: 0, output: 'fine' };
    const tried = withSecondTry(first, good);
    expect(count(tried.report, tried.code)).toEqual({ passed: 3, failed: 0, skipped: 1 });
    const bad = { report: { testResults: [file('/b', 'passed', 'failed')], numFailedTests: 1 }, code: 1, output: 'no' };
    const failed = withSecondTry(first, bad);
    expect(count(failed.report, failed.code)).toEqual({ passed: 2, failed: 1, skipped: 1 });
  });

  test('leaves what passed in the first', () => {
    const other = { report: { testResults: [file('/b', 'failed', 'passed')], numFailedTests: 1 }, code: 1, output: '' };
    const tried = withSecondTry(first, other);
    expect(count(tried.report, tried.code)).toEqual({ passed: 3, failed: 0, skipped: 1 });
  });

  test('that ends badly though no test failed has failed', () => {
    const bad = { report: { testResults: [file('/b', 'passed', 'passed')], numFailedTests: 0 }, code: 1, output: '' };
    const tried = withSecondTry(first, bad);
    expect(count(tried.report, tried.code)).toEqual({ passed: 3, failed: 1, skipped: 1 });
  });

  test('that comes to nothing leaves the first', () => {
    const failed = withSecondTry(first, { report: undefined, code: 1, output: '' });
    expect(count(failed.report, failed.code)).toEqual({ passed: 2, failed: 1, skipped: 1 });
  });
});

describe('the sum of a test run', () => {
  test('is good with tests that all pass', async () => {
    const tally = new Tally(silent);
    await tally.stage('unit', async () => ({ passed: 2, failed: 0, skipped: 0, output: '' }));
    await tally.stage('docs', async () => ({ passed: 3, failed: 0, skipped: 1, output: '' }));
    expect([tally.isGood(), tally.line()]).toEqual([true, '5 passed, 0 failed, 1 skipped']);
  });

  test('is bad without a test', async () => {
    const tally = new Tally(silent);
    await tally.stage('unit', async () => ({ passed: 0, failed: 0, skipped: 0, output: '' }));
    expect(tally.isGood()).toBe(false);
  });

  test('is bad when a stage throws or something needed cannot be had', async () => {
    const tally = new Tally(silent);
    await tally.stage('unit', async () => ({ passed: 2, failed: 0, skipped: 0, output: '' }));
    await tally.stage('smoke', () => Promise.reject(new Error('gone')));
    await tally.need('Node 22', () => Promise.reject(new Error('no network')));
    expect([tally.isGood(), tally.line()]).toEqual([false, '2 passed, 2 failed']);
    expect(tally.failures()).toBe('failed: smoke: gone\nfailed: Node 22: no network\n');
  });
});

test('the other Nodes are those of 20, 22 and 24 that do not run', () => {
  expect([otherNodes('20.20.2'), otherNodes('22.1.0'), otherNodes('26.0.0')]).toEqual([
    [22, 24],
    [20, 24],
    [20, 22, 24],
  ]);
});
