import { setTimeout as sleep } from 'node:timers/promises';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';

import { cacheFile } from './paths.ts';
import { isAlive, startOf } from './process-life.ts';
import type { Progress } from './progress.ts';

/** Runs `work` while no other process on this machine holds the lock of that name. The lock of a dead process does not count. */
export async function withLock<T>(name: string, progress: Progress, work: () => Promise<T>): Promise<T> {
  const file = cacheFile(`${name}.lock`);
  let told = false;
  while (!take(file)) {
    if (!told) {
      progress(`waits for another process that holds ${file}`);
      told = true;
    }
    await sleep(200);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function take(file: string): boolean {
  try {
    writeFileSync(file, `${process.pid} ${startOf(process.pid)}`, { flag: 'wx' });
    return true;
  } catch {
    if (!isHeld(file)) {
      rmSync(file, { force: true });
    }
    return false;
  }
}

function isHeld(file: string): boolean {
  try {
    const [pid = '', started = ''] = readFileSync(file, 'utf8').split(' ');
    // An empty file is a lock whose owner is between creating and writing it.
    return pid === '' || isAlive(Number(pid), started);
  } catch {
    return false;
  }
}
