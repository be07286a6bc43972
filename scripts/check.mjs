// Everything about the code that needs no running test: `pnpm check [--only STEP]…`.
import { parseArgs } from 'node:util';

import { ensureDependencies, ensureNode, main } from './bootstrap.mjs';
import { runSteps } from './steps.mjs';
import { failureLines } from './tally.mjs';

/** A step's module has `check()`, which resolves with the problems it found. A step with `after` needs what that one makes. */
const STEPS = [
  { name: 'build', load: () => import('./checks/build.mjs') },
  { name: 'structure', load: () => import('./checks/structure.mjs') },
  { name: 'format', load: () => import('./checks/format.mjs') },
  { name: 'dependencies', load: () => import('./checks/dependencies.mjs') },
  { name: 'leaks', load: () => import('./checks/leaks.mjs') },
  { name: 'types', after: 'build', load: () => import('./checks/types.mjs') },
  { name: 'lint', after: 'build', load: () => import('./checks/lint.mjs') },
  { name: 'unused', after: 'build', load: () => import('./checks/unused.mjs') },
  { name: 'packages', after: 'build', load: () => import('./checks/packages.mjs') },
  { name: 'conformance', after: 'build', load: () => import('./checks/conformance.mjs') },
  { name: 'performance', load: () => import('./checks/performance.mjs') },
  { name: 'docs', after: 'build', load: () => import('./checks/docs.mjs') },
];

await main(async () => {
  const { values } = parseArgs({ options: { only: { type: 'string', multiple: true } } });
  const known = STEPS.map(({ name }) => name);
  const unknown = values.only?.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`There is no step "${unknown}". Steps: ${known.join(', ')}.`);
  ensureNode();
  await ensureDependencies();
  const { passed, failed, failures } = await runSteps(STEPS, values.only ?? known);
  process.stdout.write(`\n${failureLines(failures)}${passed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
});
