// The repository's own files, tracked or about to be, as the checks read them.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { root, run } from '../bootstrap.mjs';

/** Paths relative to the root, with `/`, of everything that git does not ignore. */
export async function listFiles() {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { code, output } = await run('git', args, { quiet: true });
  if (code !== 0) throw new Error(`git does not list the files: ${output.trim()}`);
  const paths = output.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
  return [...new Set(paths)].toSorted((left, right) => (left < right ? -1 : 1));
}

export function read(path) {
  return readFileSync(join(root, path), 'utf8');
}

/** The packages of a folder list that npm will get: not private ones. */
export function publicPackages(paths) {
  return paths
    .filter((path) => /^packages\/[^/]+\/package\.json$/.test(path))
    .map((path) => ({ folder: path.replace('/package.json', ''), manifest: JSON.parse(read(path)) }))
    .filter(({ manifest }) => manifest.private !== true);
}
