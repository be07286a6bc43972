import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

import { commandEnvironment, output, run } from './command.ts';
import { eventually } from './eventually.ts';
import { withLock } from './lock.ts';
import { cacheFile } from './paths.ts';
import { isAlive, startOf } from './process-life.ts';
import { type Progress, silent } from './progress.ts';

const whatToDo =
  'Start Docker, or set DOCKER_HOST, or set WAYBILL_RABBITMQ_URL to a broker that runs (then the tests that need a container are left out).';

/**
 * Resolves with the engine's version once a container engine answers. Starts one, and installs it first from Debian's
 * packages, where this process may (root on Linux). Rejects with what to do where it may not.
 */
export async function ensureEngine(progress: Progress = silent): Promise<string> {
  const answered = await engineVersion();
  if (answered !== undefined) {
    progress(`engine: Docker ${answered} answers`);
    return answered;
  }
  return await withLock('engine', progress, () => startEngine(progress));
}

/** Resolves with the version of the engine that answers, or undefined. */
export async function engineVersion(): Promise<string | undefined> {
  const result = await run('docker', ['version', '--format', '{{.Server.Version}}'], { withinMs: 10_000 });
  return result.code === 0 ? result.stdout.trim() : undefined;
}

/** Ends the engine that {@link ensureEngine} started by hand, with all its containers. Leaves any other engine alone. */
export async function stopEngine(): Promise<void> {
  const [pid, started] = readPid();
  if (pid !== undefined && isAlive(pid, started)) {
    process.kill(pid, 'SIGTERM');
    await eventually(() => !isAlive(pid, started), { withinMs: 30_000 });
  }
  rmSync(pidFile(), { force: true });
}

async function startEngine(progress: Progress): Promise<string> {
  if (process.env['DOCKER_HOST'] !== undefined) {
    throw new Error(`No container engine answers at DOCKER_HOST. ${whatToDo}`);
  }
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new Error(`No container engine answers, and only root on Linux can start one from here. ${whatToDo}`);
  }
  if ((await run('dockerd', ['--version'])).code !== 0) {
    await install(progress);
  }
  if (existsSync('/run/systemd/system')) {
    await output('systemctl', ['start', 'docker']);
  } else {
    progress(`engine: starts dockerd, log in ${cacheFile('dockerd.log')}`);
  }
  const version = await eventually(answeringVersion, { withinMs: 60_000, everyMs: 200 });
  progress(`engine: Docker ${version} started`);
  return version;
}

async function install(progress: Progress): Promise<void> {
  if (!existsSync('/etc/debian_version')) {
    throw new Error(`No container engine is installed. ${whatToDo}`);
  }
  progress("engine: installs docker.io from Debian's packages");
  await output('apt-get', ['update', '-qq'], { withinMs: 300_000 });
  await output(
    'apt-get',
    ['install', '-y', '-qq', '--no-install-recommends', 'docker.io', 'iptables', 'ca-certificates'],
    {
      withinMs: 600_000,
      environment: { DEBIAN_FRONTEND: 'noninteractive' },
    },
  );
}

async function answeringVersion(): Promise<string> {
  const version = await engineVersion();
  if (version !== undefined) {
    return version;
  }
  if (!existsSync('/run/systemd/system') && !isDaemonAlive()) {
    // Ends at once while an earlier dockerd is still going down: each try looks again.
    startDaemon();
  }
  throw new Error(`The engine does not answer. See ${cacheFile('dockerd.log')}.`);
}

function isDaemonAlive(): boolean {
  const [pid, started] = readPid();
  return pid !== undefined && isAlive(pid, started);
}

function startDaemon(): void {
  const log = openSync(cacheFile('dockerd.log'), 'a');
  const daemon = spawn('dockerd', [], {
    detached: true,
    env: commandEnvironment(),
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  daemon.once('error', () => {});
  daemon.unref();
  if (daemon.pid !== undefined) {
    writeFileSync(pidFile(), `${daemon.pid} ${startOf(daemon.pid)}`);
  }
}

function pidFile(): string {
  return cacheFile('dockerd.pid');
}

function readPid(): [number | undefined, string] {
  try {
    const [pid = '', started = ''] = readFileSync(pidFile(), 'utf8').split(' ');
    return [Number(pid), started];
  } catch {
    return [undefined, ''];
  }
}
