import { docker, run } from './command.ts';
import { leftoverId, ownerFormat, ownerLabel } from './owner.ts';
import { type Progress, silent } from './progress.ts';

/** Removes the containers and networks of runs that are dead. Resolves with their ids. */
export async function sweepLeftovers(progress: Progress = silent): Promise<readonly string[]> {
  const containers = await leftovers('ps', '--all', '--no-trunc');
  for (const id of containers) {
    // Fails when another process removes it at the same time.
    await run('docker', ['rm', '--force', '--volumes', id]);
  }
  const networks = await leftovers('network', 'ls', '--no-trunc');
  for (const id of networks) {
    await run('docker', ['network', 'rm', id]);
  }
  const swept = [...containers, ...networks];
  if (swept.length > 0) {
    progress(`sweep: removed ${containers.length} containers and ${networks.length} networks of dead runs`);
  }
  return swept;
}

async function leftovers(...list: readonly string[]): Promise<readonly string[]> {
  const lines = await docker(...list, '--filter', `label=${ownerLabel}`, '--format', ownerFormat);
  return lines.split('\n').flatMap((line) => (line === '' ? [] : (leftoverId(line) ?? [])));
}
