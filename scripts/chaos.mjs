// Kills, freezes and cuts while messages are published and handled, then accounts for every one of them:
// `pnpm chaos [--broker X] [--messages N] [--seconds S] [--seed S] [--json FILE] [--only FAULT]… [--mutant NAME]`, or `--short`.
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { build, ensureDependencies, ensureNode, main, root, run } from './bootstrap.mjs';
import { runShort } from './chaos-short.mjs';
import { subjectsNamed } from './conformance/subjects.mjs';
import { failureLines } from './tally.mjs';

const OPTIONS = {
  broker: { type: 'string', default: 'rabbitmq' },
  messages: { type: 'string' },
  // How long they are published; by default it follows from their number.
  seconds: { type: 'string' },
  // The same one gives the same messages and faults.
  seed: { type: 'string' },
  json: { type: 'string' },
  // Kinds of faults; all without it.
  only: { type: 'string', multiple: true },
  // A deliberate defect of integration/mutants.json, which the run must find.
  mutant: { type: 'string' },
  // Two minutes on each broker.
  short: { type: 'boolean', default: false },
};
// On Node 20 each process would print that the AWS SDK's versions of 2027 need a newer one.
const env = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' };

await main(async () => {
  const { short, ...values } = parseArgs({ options: OPTIONS }).values;
  const [subject] = subjectsNamed([values.broker]);
  if (!subject.real) throw new Error(`${values.broker} cannot be shared by processes: take a broker with a server.`);
  ensureNode();
  await ensureDependencies();
  await build();
  if (short) return shortRuns();
  const { code } = await run(process.execPath, argumentsOf(subject, values), { env });
  process.exitCode = code;
});

async function shortRuns() {
  const { passed, failed, failures } = await runShort((subject, options) => ({
    args: argumentsOf(subject, options),
    env,
  }));
  process.stdout.write(`\n${failureLines(failures)}${passed} passed, ${failed} failed\n`);
  if (failed > 0 || passed === 0) process.exitCode = 1;
}

function argumentsOf(subject, { json, only = [], ...rest }) {
  return [
    join(root, 'integration/dist/chaos/run-chaos.js'),
    ...Object.entries(rest).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...(json === undefined ? [] : ['--json', resolve(json)]),
    ...only.flatMap((name) => ['--only', name]),
    '--harness',
    join(root, subject.harness),
  ];
}
