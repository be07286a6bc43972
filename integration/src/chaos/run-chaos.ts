import { rmSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type { Harness } from '@waybill/conformance';
import { MUTANTS } from '../mutants/mutants.ts';
import { runChaos } from './conductor.ts';
import { jsonOf, textOf } from './report.ts';

const { values } = parseArgs({
  options: {
    broker: { type: 'string', default: 'rabbitmq' },
    /** File of its harness. */
    harness: { type: 'string' },
    messages: { type: 'string', default: '20000' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    json: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    mutant: { type: 'string' },
  },
});
const messages = wholeNumber('messages', values.messages);
const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000));
const seconds = values.seconds === undefined ? undefined : wholeNumber('seconds', values.seconds);
const { broker, only, mutant, json, harness: file } = values;
if (mutant !== undefined && !MUTANTS.some(({ name }) => name === mutant))
  throw new Error(`There is no mutant ${mutant}.`);
if (file === undefined) throw new Error('--harness FILE says what runs the broker: pnpm chaos does that.');

const { harness } = (await import(pathToFileURL(file).href)) as { readonly harness: Harness };
const options = [
  ...(seconds === undefined ? [] : ['--seconds', seconds]),
  ...only.flatMap((name) => ['--only', name]),
  ...(mutant === undefined ? [] : ['--mutant', `"${mutant}"`]),
];
const command = ['pnpm chaos --broker', broker, '--messages', messages, '--seed', seed, ...options].join(' ');
process.stdout.write(`${command}\n`);
try {
  const outcome = await runChaos({ harness, messages, seconds, seed, only, mutant });
  process.stdout.write(`\n${broker} ${outcome.version}\n${textOf(outcome)}\n`);
  if (json !== undefined)
    writeFileSync(json, `${JSON.stringify(jsonOf(outcome, { broker, command }), undefined, 2)}\n`);
  if (outcome.problems.total === 0) rmSync(outcome.folder, { recursive: true });
  else process.exitCode = 1;
} finally {
  await harness.close();
}

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0 && number < 2 ** 32) return number;
  throw new Error(`--${name} is a whole number above 0, not ${text}.`);
}
