// Packs packages as `pnpm publish` would: `node scripts/pack.mjs DESTINATION FOLDER…`, folders such as `packages/core`.
import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { main, root, run } from './bootstrap.mjs';
import { pnpm } from './checks/tool.mjs';

/** Resolves with the archive that it made in `destination`. */
export async function pack(folder, destination) {
  mkdirSync(destination, { recursive: true });
  const before = new Set(readdirSync(destination));
  const args = ['pack', '--pack-destination', destination];
  const { code, output } = await run(pnpm(), args, { quiet: true, cwd: join(root, folder) });
  const archive = readdirSync(destination).find((name) => name.endsWith('.tgz') && !before.has(name));
  if (code !== 0 || archive === undefined) throw new Error(`pnpm pack in ${folder} failed: ${output.trim()}`);
  return join(destination, archive);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main(async () => {
    const [destination, ...folders] = process.argv.slice(2);
    for (const folder of folders) process.stdout.write(`${await pack(folder, resolve(destination))}\n`);
  });
}
