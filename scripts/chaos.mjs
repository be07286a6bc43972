// Kills, freezes and cuts while messages are published and handled, then accounts for every one of them:
// `pnpm chaos [--broker X] [--messages N] [--seed S] [--json FILE] [--only FAULT]… [--mutant NAME]`.
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { build, ensureDependencies, ensureNode, main, root, run } from './bootstrap.mjs';
import { subjectsNamed } from './conformance/subjects.mjs';

const OPTIONS = {
  broker: { type: 'string', default: 'rabbitmq' },
  messages: { type: 'string' },
  // The same one gives the same messages and faults.
  seed: { type: 'string' },
  json: { type: 'string' },
  // Kinds of faults; all without it.
  only: { type: 'string', multiple: true },
  // A deliberate defect of integration/mutants.json, which the run must find.
  mutant: { type: 'string' },
};

await main(async () => {
  const { values } = parseArgs({ options: OPTIONS });
  const [subject] = subjectsNamed([values.broker]);
  if (!subject.real) throw new Error(`${values.broker} cannot be shared by processes: take a broker with a server.`);
  ensureNode();
  await ensureDependencies();
  await build();
  const { json, only = [], ...rest } = values;
  const given = Object.entries(rest).flatMap(([name, value]) => [`--${name}`, value]);
  const file = json === undefined ? [] : ['--json', resolve(json)];
  const more = [...only.flatMap((name) => ['--only', name]), '--harness', join(root, subject.harness)];
  const entry = join(root, 'integration/dist/chaos/run-chaos.js');
  const { code } = await run(process.execPath, [entry, ...given, ...file, ...more]);
  process.exitCode = code;
});
