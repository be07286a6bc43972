// All tests, with all the set-up that they need: `npm test [-- [--unit] [--only STAGE]… [--this-node] [-- FILTER…]]`.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { build, ensureDependencies, ensureNode, main, root, run } from './bootstrap.mjs';
import { countRuns, namesOfFailures, runConformance } from './conformance/run.mjs';
import { quickSubjects, SUBJECTS } from './conformance/subjects.mjs';
import { ensureNodeOf, otherNodes } from './nodes.mjs';
import { Tally } from './tally.mjs';
import { runVitest } from './vitest.mjs';

const STAGES = ['unit', 'nodes', 'integration', 'docs', 'conformance'];
const NEED_BROKERS = ['integration', 'docs', 'conformance'];

await main(async () => {
  const { stages, filter } = readArguments();
  ensureNode();
  await ensureDependencies();
  await build();
  const tally = new Tally();
  // One after the other: tests on brokers assert how late things may be, which a busy machine would decide.
  const ready = prepareBrokers(tally, stages);
  await withoutBrokers(tally, stages, filter);
  if (await ready) await withBrokers(tally, stages, filter);
  process.stdout.write(`\n${tally.failures()}${tally.line()}\n`);
  if (!tally.isGood()) process.exitCode = 1;
});

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      unit: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      'this-node': { type: 'boolean', default: false },
    },
  });
  const unknown = values.only.find((stage) => !STAGES.includes(stage));
  if (unknown !== undefined) throw new Error(`There is no stage "${unknown}". Stages: ${STAGES.join(', ')}.`);
  const named = values.unit ? ['unit', ...values.only] : values.only;
  // A filter is for someone who looks for something: one Node is enough.
  const all = values['this-node'] || positionals.length > 0 ? STAGES.filter((stage) => stage !== 'nodes') : STAGES;
  return { stages: named.length > 0 ? named : all, filter: positionals };
}

async function withoutBrokers(tally, stages, filter) {
  if (stages.includes('unit')) {
    await tests(tally, { name: `unit tests, Node ${process.version}`, live: stages.length === 1 }, filter);
  }
  if (stages.includes('nodes')) {
    for (const major of otherNodes()) await onNode(tally, major);
  }
}

async function onNode(tally, major) {
  const node = await tally.need(`Node ${major} from npm`, () => ensureNodeOf(major));
  if (node === undefined) return;
  await tests(tally, { name: `unit tests, Node ${major}`, node });
  await tally.stage(`smoke, Node ${major}`, async () => {
    const { code, output } = await run(node, ['--expose-gc', join(root, 'scripts/smoke.mjs')], { quiet: true });
    return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0, output };
  });
}

/** Engine and images, while other tests run. False when there is nothing to test on. */
async function prepareBrokers(tally, stages) {
  if (!NEED_BROKERS.some((stage) => stages.includes(stage))) return false;
  const ready = await tally.need('brokers ready', async () => {
    const { code } = await run(process.execPath, [join(root, 'integration/dist/prepare.js')]);
    if (code !== 0) throw new Error('The brokers could not be prepared: see above.');
    return true;
  });
  return ready !== undefined;
}

async function withBrokers(tally, stages, filter) {
  const wanted = NEED_BROKERS.filter((stage) => stages.includes(stage));
  for (const stage of wanted) {
    // A filter names test files, and these are none.
    if (stage === 'conformance') {
      if (filter.length === 0) await quickSets(tally);
    } else if (existsSync(join(root, stage, 'vitest.config.ts'))) {
      const options = { name: `${stage} tests`, cwd: join(root, stage), live: stages.length === 1, again: true };
      await tests(tally, options, filter);
    } else {
      tally.note(`${stage} tests: ${stage}/vitest.config.ts does not exist, so there are none`);
    }
  }
}

/** The quick set on everything that there is a driver for; what failed shows its whole output. */
async function quickSets(tally) {
  const subjects = quickSubjects(SUBJECTS, process.env);
  await tally.stage(`conformance, quick set of ${subjects.map(({ name }) => name).join(', ')}`, async () => {
    const runs = await runConformance(subjects, { quick: true, again: true });
    for (const { subject, triedAgain } of runs) noteSecondTries(tally, subject.name, triedAgain);
    const bad = runs.filter(({ code }) => code !== 0);
    const output = bad.map(({ subject, output: said }) => `${subject.name}\n${said}`).join('\n');
    return { ...countRuns(runs), output, failures: namesOfFailures(runs) };
  });
}

function tests(tally, options, filter = []) {
  const name = options.name.replaceAll(/[^\w.]+/g, '-');
  const args = filter.length > 0 ? ['--passWithNoTests', ...filter] : [];
  return tally.stage(options.name, async () => {
    const result = await runVitest({ ...options, name, args });
    noteSecondTries(tally, options.name, result.triedAgain);
    return result;
  });
}

function noteSecondTries(tally, name, triedAgain = []) {
  if (triedAgain.length > 0) tally.note(`${name}: tried twice: ${triedAgain.join(', ')}`);
}
