// docs/performance.md and its charts are what the numbers beside them say: `node scripts/checks/performance.mjs --write` renews them.
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
  return rendered()
    .filter(({ path, text }) => !existsSync(join(root, path)) || read(path) !== text)
    .map(
      ({ path }) =>
        `${path} is not what docs/performance/*.json say. Renew it: node scripts/checks/performance.mjs --write`,
    );
}

function rendered() {
  const runs = BROKERS.map((name) => `docs/performance/${name}.json`)
    .filter((path) => existsSync(join(root, path)))
    .map((path) => JSON.parse(read(path)));
  const charts = runs.map((run) => ({
    path: `docs/performance/${run.broker}.svg`,
    text: chart(run, CHARTED, ranked),
  }));
  return [{ path: PAGE, text: page(runs) }, ...charts];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href && process.argv.includes('--write')) {
  for (const { path, text } of rendered()) writeFileSync(join(root, path), text);
}
