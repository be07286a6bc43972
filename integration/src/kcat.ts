import { existsSync } from 'node:fs';

import { output, run } from './command.ts';
import { withLock } from './lock.ts';
import { type Progress, silent } from './progress.ts';

/**
 * Resolves with undefined once the `kcat` command is there, or with why it cannot be had. Installs it from Debian's
 * packages where this process may (root on a Debian-like machine).
 */
export async function ensureKcat(progress: Progress = silent): Promise<string | undefined> {
  if (await isThere()) {
    return undefined;
  }
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) {
    return 'kcat is not installed, and only root on a Debian-like machine can install it from here.';
  }
  return await withLock('kcat', progress, () => install(progress));
}

/** Runs kcat; resolves with what it printed. */
export function kcat(...args: readonly string[]): Promise<string> {
  return output('kcat', args, { withinMs: 20_000 });
}

async function isThere(): Promise<boolean> {
  return (await run('kcat', ['-V'])).code === 0;
}

async function install(progress: Progress): Promise<string | undefined> {
  progress("kcat: installs it from Debian's packages");
  const environment = { DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await output('apt-get', ['update', '-qq'], { withinMs: 300_000 });
    await output('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'kcat'], {
      withinMs: 300_000,
      environment,
    });
    return undefined;
  } catch (error) {
    return `kcat could not be installed: ${error instanceof Error ? error.message : String(error)}`;
  }
}
