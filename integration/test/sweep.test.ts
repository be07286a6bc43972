import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { expect, onTestFinished } from 'vitest';

import { docker } from '../src/command.ts';
import { ownerLabels, sweepLeftovers } from '../src/index.ts';
import { containerTest, sharedToxiproxy } from './shared.ts';

async function createContainer(labels: Record<string, string>): Promise<string> {
  const { containerId } = sharedToxiproxy();
  const image = await docker('inspect', '--format', '{{.Config.Image}}', containerId);
  const flags = Object.entries(labels).flatMap(([name, value]) => ['--label', `${name}=${value}`]);
  const id = await docker('create', ...flags, image);
  onTestFinished(async () => void (await docker('rm', '--force', id).catch(() => {})));
  return id;
}

containerTest('removes what a dead process started and leaves what a living one did', async () => {
  const owner = spawn(process.execPath, ['--eval', 'setInterval(() => {}, 1000)']);
  const dead = await createContainer(ownerLabels(owner.pid));
  const alive = await createContainer(ownerLabels());
  expect(await sweepLeftovers()).not.toContain(dead);
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  const swept = await sweepLeftovers();
  expect(swept).toContain(dead);
  expect(swept).not.toContain(alive);
  await docker('inspect', alive);
});

containerTest('takes a later process with the same pid for another one', async () => {
  const reused = await createContainer({ ...ownerLabels(), 'waybill.harness.started': '1' });
  expect(await sweepLeftovers()).toContain(reused);
});

containerTest('leaves what another machine started', async () => {
  const foreign = await createContainer({
    ...ownerLabels(),
    'waybill.harness': '999999999',
    'waybill.harness.host': 'other',
  });
  expect(await sweepLeftovers()).not.toContain(foreign);
});
