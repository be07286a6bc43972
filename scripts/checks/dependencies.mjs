// docs/dependencies.md lists what each public package brings along, so that a new dependency shows in a review.
// `node scripts/checks/dependencies.mjs --write` renews it.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { root } from '../bootstrap.mjs';
import { listFiles, publicPackages, read } from './files.mjs';

const LIST = 'docs/dependencies.md';

export async function check() {
  const wanted = await render();
  const written = existsSync(join(root, LIST)) ? read(LIST) : '';
  if (written === wanted) return [];
  return [
    `${LIST} is not what the packages say. Renew it: node scripts/checks/dependencies.mjs --write\n${difference(written, wanted)}`,
  ];
}

/** The page, from the manifests and the workspace's catalog. */
export function page(packages, catalog) {
  const rows = packages.flatMap(({ manifest }) => {
    const needs = [
      ...entries('dependency', manifest.dependencies),
      ...entries('peer', manifest.peerDependencies, manifest.peerDependenciesMeta),
      ...entries('optional dependency', manifest.optionalDependencies),
    ];
    return needs.map(({ name, range, kind }) => [manifest.name, name, rangeOf(name, range, catalog), kind]);
  });
  return [
    '# Runtime dependencies',
    '',
    'What each package brings into an application. Written from the packages and compared with them by `pnpm check`.',
    '',
    ...table([['package', 'needs', 'version', 'as'], ...rows]),
    '',
  ].join('\n');
}

function entries(kind, ranges = {}, meta = {}) {
  return Object.entries(ranges)
    .map(([name, range]) => ({ name, range, kind: meta[name]?.optional === true ? `optional ${kind}` : kind }))
    .toSorted((left, right) => left.name.localeCompare(right.name));
}

function rangeOf(name, range, catalog) {
  if (range === 'catalog:') return catalog.get(name) ?? range;
  const [, inWorkspace = range] = /^workspace:(.+)$/.exec(range) ?? [];
  return ['*', '^', '~'].includes(inWorkspace) ? 'of the same release' : inWorkspace;
}

/** Columns as wide as the formatter makes them. */
function table([head, ...rows]) {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column].length)));
  const line = (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)];
}

async function render() {
  return page(publicPackages(await listFiles()), catalogOf(read('pnpm-workspace.yaml')));
}

/** The `catalog:` of pnpm-workspace.yaml, which is flat: `  name: version`. */
export function catalogOf(yaml) {
  const [, section = ''] = /^catalog:\n((?: {2}.+\n?)*)/m.exec(yaml) ?? [];
  return new Map(
    [...section.matchAll(/^ {2}['"]?([^'":]+)['"]?: *['"]?([^'"\s]+)/gm)].map(([, name, range]) => [name, range]),
  );
}

function difference(written, wanted) {
  const before = new Set(written.split('\n'));
  const after = new Set(wanted.split('\n'));
  const gone = [...before].filter((line) => !after.has(line)).map((line) => `- ${line}`);
  const come = [...after].filter((line) => !before.has(line)).map((line) => `+ ${line}`);
  return [...gone, ...come].join('\n');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href && process.argv.includes('--write')) {
  writeFileSync(join(root, LIST), await render());
}
