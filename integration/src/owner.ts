import { hostname } from 'node:os';

import { isAlive, startOf } from './process-life.ts';

/** Label that every container and network of the harness carries, with the pid of the process that started it. */
export const ownerLabel = 'waybill.harness';

const startLabel = 'waybill.harness.started';
const hostLabel = 'waybill.harness.host';

/** Labels that name a process of this machine as owner. */
export function ownerLabels(pid: number = process.pid): Record<string, string> {
  return { [ownerLabel]: String(pid), [startLabel]: startOf(pid), [hostLabel]: hostname() };
}

/** Format for the Docker client's lists that {@link leftoverId} reads. */
export const ownerFormat: string = ['.ID', ...[ownerLabel, startLabel, hostLabel].map((name) => `.Label "${name}"`)]
  .map((field) => `{{${field}}}`)
  .join('|');

/** The id in a line of {@link ownerFormat} whose owner is gone. Pids of another machine or container tell nothing here. */
export function leftoverId(line: string): string | undefined {
  const [id = '', pid = '', started = '', host = ''] = line.split('|');
  return host === hostname() && !isAlive(Number(pid), started) ? id : undefined;
}
