import { runScenarios } from '@waybill/conformance';
import type { Harness } from '@waybill/conformance';

/** Runs scenarios in this process, which may be a mutant, and answers with what became of them. */
const [broker = 'memory', ...only] = process.argv.slice(2);
const { harness } = (await import(new URL(`../conformance/${broker}.js`, import.meta.url).href)) as {
  readonly harness: Harness;
};
const results = await runScenarios({ harness, ...(only.length === 0 ? {} : { only }) });
await harness.close();
process.send?.(results);
process.disconnect?.();
// A mutant may leave anything behind.
process.exit(0);
