// Gets a fresh clone ready to run: the right pnpm, dependencies, a build. Needs Node and npm, nothing else.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

const OLDEST_NODE = [20, 19];
const cache = join(root, '.cache');
const lockfile = join(root, 'pnpm-lock.yaml');
/** Inside node_modules, so that it goes when they go. */
const installedMark = join(root, 'node_modules', '.waybill-lockfile');

/** Throws one sentence where this Node is too old. Syntax of this file is older still, so that it gets that far. */
export function ensureNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  const oldest = OLDEST_NODE.join('.');
  throw new Error(`Waybill needs Node ${oldest} or newer and this is ${process.versions.node}: install a newer one.`);
}

/** Installs dependencies when they are missing or of another lockfile, and pnpm itself where it is not at hand. */
export async function ensureDependencies() {
  const wanted = createHash('sha256').update(readFileSync(lockfile)).digest('hex');
  if (existsSync(installedMark) && readFileSync(installedMark, 'utf8') === wanted) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const version = packageManager.split('@')[1].split('+')[0];
  const pnpm = await ensurePnpm(version);
  const env = {
    // No questions.
    CI: 'true',
    // The compiler is a development dependency.
    NODE_ENV: 'development',
    // It is the right pnpm: it need not look itself up, nor ask for itself in the lockfile.
    pnpm_config_pm_on_fail: 'ignore',
  };
  const install = () => run(pnpm, ['install', '--frozen-lockfile'], { quiet: true, env });
  await step('dependencies installed', 'install', install);
  writeFileSync(installedMark, wanted);
}

/** Compiles what changed of the projects and of what they refer to; `check: false` does it in a quarter of the time. */
export async function build(projects = ['packages', 'docs', 'integration'], { check = true } = {}) {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  // Types that were not checked now are checked by the next build that does.
  const args = [compiler, '-b', ...projects, ...(check ? [] : ['--noCheck'])];
  await step('compiled', 'build', () => run(process.execPath, args, { quiet: true }));
}

/**
 * Runs a command in the repository's folder. Resolves with `{ code, output }` however it ends; `output` is empty unless
 * `quiet`, which keeps it off the terminal. Rejects where the command cannot be started.
 */
export function run(command, args, { quiet = false, env = {}, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
      // npm and pnpm are batch files there.
      shell: process.platform === 'win32' && !command.endsWith('.exe'),
    });
    let output = '';
    const collect = (chunk) => {
      output += chunk;
    };
    if (quiet) {
      child.stdout.setEncoding('utf8').on('data', collect);
      child.stderr.setEncoding('utf8').on('data', collect);
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** Runs `work`; what it throws becomes one sentence on standard error and exit code 1. */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

/** One line with the time it took; on a terminal also while it runs. A failure names the log with everything. */
async function step(done, name, work) {
  const startedAt = Date.now();
  if (process.stdout.isTTY) process.stdout.write(`         ${name} …`);
  const { code, output } = await work().catch((error) => ({ code: 1, output: String(error.message) }));
  if (process.stdout.isTTY) process.stdout.write('\r\u001b[2K');
  if (code === 0) {
    process.stdout.write(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${done}\n`);
    return;
  }
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, `${name}.log`), output);
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const said = lines.find((line) => /error/i.test(line)) ?? lines.at(-1) ?? `exit code ${code}`;
  throw new Error(`The ${name} failed: ${said.trim()} (all of it: .cache/${name}.log)`);
}

/** The command that runs this version of pnpm: the one on PATH, or one of our own under .cache. */
async function ensurePnpm(version) {
  if (await hasVersion('pnpm', version)) return 'pnpm';
  const folder = join(cache, `pnpm-${version}`);
  const own = join(folder, 'node_modules', '.bin', process.platform === 'win32' ? 'pnpm.cmd' : 'pnpm');
  if (await hasVersion(own, version)) return own;
  mkdirSync(folder, { recursive: true });
  const [npm, ...before] = npmCommand();
  const args = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', `pnpm@${version}`];
  await step(`pnpm ${version} installed in .cache`, 'pnpm', () => run(npm, [...before, ...args], { quiet: true }));
  return own;
}

/** Asked outside the repository: inside, pnpm of any version would first fetch the one of package.json. */
async function hasVersion(pnpm, version) {
  const env = { COREPACK_ENABLE_NETWORK: '0', COREPACK_ENABLE_DOWNLOAD_PROMPT: '0' };
  const answer = await run(pnpm, ['--version'], { quiet: true, env, cwd: tmpdir() }).catch(() => undefined);
  return answer !== undefined && answer.code === 0 && answer.output.trim() === version;
}

/** The npm that started this script, else the one on PATH. */
function npmCommand() {
  const script = process.env.npm_execpath;
  return script !== undefined && basename(script) === 'npm-cli.js' ? [process.execPath, script] : ['npm'];
}
