import { registerConformance, runScenarios } from '@waybill/conformance';
import { afterAll, expect, test } from 'vitest';

import { harness } from '../src/conformance/memory.ts';
import { eventually } from '../src/index.ts';

// That scenarios register with a runner and pass on the reference driver; the whole set runs with the command.
registerConformance({
  harness,
  only: ['stored-before-resolve', 'retry-later', 'order-per-key', 'refusal-ordering'],
  test: (name, run, timeoutMs) => test(name, run, timeoutMs),
});
afterAll(() => harness.close());

test('a worker process that does not start is ended with its scenario', async () => {
  const processes = (): number => process.getActiveResourcesInfo().filter((name) => name === 'ProcessWrap').length;
  const before = processes();
  const worker = { url: 'file:///nowhere.js', options: {} };
  const open = async () => Object.assign(await harness.open(), { worker });
  const [result] = await runScenarios({ harness: { ...harness, open }, only: ['recovery-cut-handlers'] });
  expect(result?.note).toContain('nowhere.js');
  await eventually(async () => expect(processes()).toBe(before), { withinMs: 5_000 });
});
