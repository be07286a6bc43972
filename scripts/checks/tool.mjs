// Runs a command line tool of the repository's own dependencies with this Node.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { root, run } from '../bootstrap.mjs';

/** Resolves with what the tool printed when it failed, else with no problem. */
export async function tool(name, args) {
  const { code, output } = await run(process.execPath, [binaryOf(name), ...args], { quiet: true });
  if (code === 0) return [];
  return [output.trim() === '' ? `${name} ended with exit code ${code} and said nothing` : output.trim()];
}

function binaryOf(name) {
  const [packageName, binary = packageName] = name.split('#');
  const manifest = join(root, 'node_modules', packageName, 'package.json');
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8'));
  return join(dirname(manifest), typeof bin === 'string' ? bin : bin[binary]);
}

/** The pnpm that bootstrap.mjs installed, else the one on PATH. */
export function pnpm() {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const own = join(root, '.cache', packageManager.replace('@', '-'), 'node_modules', '.bin', 'pnpm');
  return existsSync(own) ? own : 'pnpm';
}
