import { readFileSync } from 'node:fs';

/** When a process started, in the kernel's ticks; empty where the kernel does not tell. Tells a process from a later one with its pid. */
export function startOf(pid: number): string {
  return readStat(pid)?.started ?? '';
}

/** Whether the process that had this pid and start still runs. A zombie does not. */
export function isAlive(pid: number, started: string): boolean {
  const stat = readStat(pid);
  if (stat !== undefined) {
    return stat.state !== 'Z' && (started === '' || stat.started === started);
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function readStat(pid: number): { state: string; started: string } | undefined {
  try {
    // The second field is the command in brackets and may itself hold spaces and brackets.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return { state: fields[0] ?? '', started: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}
