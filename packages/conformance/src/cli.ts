#!/usr/bin/env node
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type { Harness } from './harness.ts';
import { loadModule } from './load-module.ts';
import { reportOf, summarize } from './report.ts';
import { type Result, runScenarios, selectScenarios } from './run.ts';
import type { Scenario } from './scenario.ts';

const HELP = `Runs Waybill's conformance scenarios against a driver.

  npx @waybill/conformance --driver ./my-harness.ts [options]

  --driver FILE   a module that exports \`harness\` (docs/writing-a-driver.md)
  --only ID       only this scenario; may be repeated
  --quick         only the quick set
  --json FILE     writes the results
  --list          lists the scenarios and ends
`;

const MARKS: Readonly<Record<Result['outcome'], string>> = {
  passed: 'ok  ',
  failed: 'FAIL',
  refused: 'n/d ',
  'not applicable': 'n/a ',
};

const OPTIONS = {
  driver: { type: 'string' },
  only: { type: 'string', multiple: true },
  quick: { type: 'boolean', default: false },
  json: { type: 'string' },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) return say(HELP, 0);
  const selected = selectScenarios(values.only, values.quick);
  if (values.list) return say(selected.map(describe).join(''), 0);
  if (values.driver === undefined) return say(HELP, 2);
  const harness = await load(values.driver);
  const startedAt = Date.now();
  let done = 0;
  const results = await runScenarios({
    harness,
    quick: values.quick,
    ...(values.only === undefined ? {} : { only: values.only }),
    onResult(result) {
      done += 1;
      process.stdout.write(lineOf(result, `${String(done).padStart(3)}/${selected.length}`));
    },
  });
  const version = await harness.version();
  await harness.close();
  process.stdout.write(summarize({ driver: harness.name, version }, results, Date.now() - startedAt));
  if (values.json !== undefined) {
    const report = reportOf({ driver: harness.name, version }, results);
    writeFileSync(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
  }
  return results.some(({ outcome }) => outcome === 'failed') ? 1 : 0;
}

function describe({ id, guarantee, sentence }: Scenario): string {
  return `${id.padEnd(36)} ${guarantee.padEnd(14)} ${sentence}\n`;
}

function lineOf({ outcome, durationMs, id, sentence, note = '' }: Result, count: string): string {
  const took = `${(durationMs / 1000).toFixed(1)} s`.padStart(8);
  const why = outcome === 'passed' || outcome === 'failed' ? '' : `  (${note})`;
  return `${MARKS[outcome]} ${count} ${took}  ${id.padEnd(34)} ${sentence}${why}\n`;
}

async function load(file: string): Promise<Harness> {
  const module = (await loadModule(pathToFileURL(resolve(file)).href)) as { readonly harness?: Harness };
  if (module.harness === undefined) throw new Error(`${file} exports no \`harness\`.`);
  return module.harness;
}

function say(text: string, code: number): number {
  process.stdout.write(text);
  return code;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 2;
}
// A scenario that failed at its deadline may go on for ever.
setTimeout(() => process.exit(), 5_000).unref();
