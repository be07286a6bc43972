// Measures on this machine. `pnpm bench rabbitmq|kafka|sqs|service-bus` compares Waybill with raw clients and other libraries on
// that broker (benchmarks/README.md). `pnpm bench core|memory` and `pnpm bench PACKAGE BENCHMARK` run what is in the bench
// folder of a package. `--json FILE` writes the numbers; other options go to the benchmark.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

import { build, ensureDependencies, ensureNode, main, root, run } from './bootstrap.mjs';

/**
 * Garbage is collected before each side is measured. That makes the heap of young objects small and drops code that the
 * other sides did not run, which whoever is measured first would pay for; a process that serves for hours has both.
 */
const LIKE_A_SERVICE = ['--expose-gc', '--min-semi-space-size=16', '--no-flush-bytecode'];

/** Brokers with a comparison; its options are in benchmarks/README.md. */
const COMPARED = ['rabbitmq', 'kafka', 'sqs', 'service-bus'];

await main(async () => {
  const [name, ...options] = process.argv.slice(2);
  const packages = readdirSync(join(root, 'packages')).filter((folder) => benchmarksOf(folder).length > 0);
  const isCompared = COMPARED.includes(name) && !benchmarksOf(name).includes(options[0]);
  if (!isCompared && !packages.includes(name)) throw new Error(usage(packages));
  ensureNode();
  await ensureDependencies();
  if (isCompared) {
    await build(['benchmarks']);
    process.exitCode = await compare(name, options);
    return;
  }
  await build(['packages', 'integration']);
  await measurePackage(name, options);
});

function usage(packages) {
  const single = packages.flatMap((folder) => benchmarksOf(folder).map((each) => `${folder} ${each}`));
  return `Say what to measure, and where the numbers go: pnpm bench NAME [--json FILE]
  ${COMPARED.join(', ')}: Waybill, raw clients and other libraries on that broker, and nothing else; options in benchmarks/README.md
  ${single.join(', ')}: one benchmark of a package`;
}

async function compare(name, options) {
  const json = takeJson(options);
  const writes = json === undefined ? [] : ['--json', json];
  const { code } = await run(process.execPath, [join('benchmarks', 'dist', 'bench.js'), name, ...options, ...writes]);
  return code;
}

async function measurePackage(name, options) {
  const all = benchmarksOf(name);
  const chosen = all.includes(options[0]) ? [options.shift()] : all;
  const json = takeJson(options);
  const results = {};
  for (const benchmark of chosen) {
    const file = json === undefined ? undefined : join(root, '.cache', 'bench', `${name}-${benchmark}.json`);
    results[benchmark] = await measure(join('packages', name, 'bench', `${benchmark}.mjs`), file, options);
  }
  if (json !== undefined) {
    writeFileSync(json, `${JSON.stringify(chosen.length === 1 ? results[chosen[0]] : results, undefined, 2)}\n`);
  }
}

function benchmarksOf(name) {
  const folder = join(root, 'packages', name, 'bench');
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files.filter((file) => file.endsWith('.mjs')).map((file) => basename(file, '.mjs'));
}

/** Takes `--json FILE` or `--json=FILE` out of the options. */
function takeJson(options) {
  const at = options.findIndex((option) => option === '--json' || option.startsWith('--json='));
  if (at === -1) return undefined;
  const [option] = options.splice(at, 1);
  const file = option === '--json' ? options.splice(at, 1)[0] : option.slice('--json='.length);
  if (file === undefined || file === '') throw new Error('--json needs the name of a file');
  return resolve(file);
}

/** Resolves with what the benchmark wrote to `file`, if it was given one. */
async function measure(script, file, options) {
  mkdirSync(join(root, '.cache', 'bench'), { recursive: true });
  const writes = file === undefined ? [] : ['--json', file];
  const { code } = await run(process.execPath, [...LIKE_A_SERVICE, script, ...options, ...writes]);
  if (code !== 0) throw new Error(`${script} ended with exit code ${code}`);
  return file === undefined ? undefined : JSON.parse(readFileSync(file, 'utf8'));
}
