// Packs each public package as `pnpm publish` would and looks at what came out: publint, attw, and what must be inside.
import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { root, run } from '../bootstrap.mjs';
import { pack } from '../pack.mjs';
import { listFiles, publicPackages } from './files.mjs';
import { tool } from './tool.mjs';

const packed = '.cache/packed';
const INSIDE = ['package.json', 'README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts'];
const OUTSIDE = /\.tsbuildinfo$|(?:^|\/)(?:test|bench)\/|\.test\.|tsconfig/;

export async function check() {
  const packages = publicPackages(await listFiles());
  rmSync(join(root, packed), { recursive: true, force: true });
  const problems = await Promise.all(packages.map(checkPackage));
  return problems.flat();
}

async function checkPackage({ folder, manifest }) {
  const problems = manifestProblems(folder, manifest);
  const archive = await pack(folder, join(root, packed, folder.replace('packages/', '')));
  const listed = await run('tar', ['-tzf', archive], { quiet: true });
  const inside = listed.output.split('\n').map((line) => line.replace(/^package\//, ''));
  problems.push(...contentProblems(folder, inside));
  for (const [name, args] of [
    ['publint', ['run', archive, '--strict']],
    ['@arethetypeswrong/cli#attw', [archive, '--profile', 'esm-only', '--no-color', '--no-emoji']],
  ]) {
    problems.push(...(await tool(name, args)));
  }
  return problems;
}

/** What every public package says of itself. */
export function manifestProblems(folder, manifest) {
  const wanted = { license: 'MIT', type: 'module', sideEffects: false };
  const problems = Object.entries(wanted)
    .filter(([key, value]) => manifest[key] !== value)
    .map(([key, value]) => `"${key}" is not ${JSON.stringify(value)}`);
  if (manifest.engines?.node !== '>=20.19') problems.push('"engines" is not { "node": ">=20.19" }');
  if (manifest.exports?.['./package.json'] === undefined) problems.push('"exports" lacks "./package.json"');
  if (manifest.name !== '@waybill/core' && manifest.dependencies?.['@waybill/core'] !== undefined) {
    problems.push('@waybill/core is a dependency, not a peer: an application would get two');
  }
  return problems.map((problem) => `${folder}/package.json: ${problem}`);
}

export function contentProblems(folder, inside) {
  return [
    ...INSIDE.filter((path) => !inside.includes(path)).map((path) => `${folder}: ${path} would not be published`),
    ...inside.filter((path) => OUTSIDE.test(path)).map((path) => `${folder}: ${path} would be published`),
  ];
}
