// docs/performance.md, its charts and the floors of its runs are what the numbers of the rounds say, by the floors that are in force:
// `node scripts/checks/performance.mjs --write` renews them.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { root } from '../bootstrap.mjs';
import { chart } from '../performance/chart.mjs';
import { BROKERS, page, ranked } from '../performance/page.mjs';
import { read } from './files.mjs';

const PAGE = 'docs/performance.md';
const CHARTED = ['publish', 'consume', 'awaited-4096'];

export async function check() {
  const expected = await rendered();
  return expected
    .filter(({ path, text }) => !existsSync(join(root, path)) || read(path) !== text)
    .map(
      ({ path }) =>
        `${path} is not what the rounds in docs/performance/*.json say. Renew it: node scripts/checks/performance.mjs --write`,
    );
}

async function rendered() {
  const { judge } = await import('../../benchmarks/dist/judge.js');
  const measured = BROKERS.map((name) => `docs/performance/${name}.json`)
    .filter((path) => existsSync(join(root, path)))
    .map((path) => JSON.parse(read(path)));
  const runs = await Promise.all(measured.map(async (run) => ({ ...run, floors: await judge(run) })));
  const files = runs.flatMap((run) => [
    { path: `docs/performance/${run.broker}.json`, text: `${JSON.stringify(run, undefined, 2)}\n` },
    { path: `docs/performance/${run.broker}.svg`, text: chart(run, CHARTED, ranked) },
  ]);
  return [{ path: PAGE, text: page(runs) }, ...files];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href && process.argv.includes('--write')) {
  for (const { path, text } of await rendered()) writeFileSync(join(root, path), text);
}
