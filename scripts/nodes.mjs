// The Nodes that Waybill is tested on. The running one is there; the others are npm packages, kept under .cache.
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { root, run } from './bootstrap.mjs';

const MAJORS = [20, 22, 24];

/** The majors that are not running. */
export function otherNodes(running = process.versions.node) {
  return MAJORS.filter((major) => major !== Number(running.split('.')[0]));
}

/** Resolves with the path of a Node of that major version, installed on first use. */
export async function ensureNodeOf(major) {
  const folder = join(root, '.cache', `node-${major}`);
  const node = join(folder, 'node_modules', 'node', 'bin', 'node');
  if (existsSync(node)) return node;
  await mkdir(folder, { recursive: true });
  // Of its own prefix, and without npm's settings of the script that called this one.
  const env = { npm_config_global: 'false', npm_config_ignore_scripts: 'false' };
  const args = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', `node@${major}`];
  const { code, output } = await run('npm', args, { quiet: true, env, cwd: folder });
  if (code !== 0 || !existsSync(node)) {
    throw new Error(`Node ${major} could not be installed from npm: ${output.trim()}`);
  }
  return node;
}
