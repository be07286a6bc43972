import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

import { eventually } from '../src/index.ts';
import { containerTest, sharedRabbitmq } from './shared.ts';

/** The conformance command on a broker that it did not start. */
function conformance(...only: readonly string[]): { readonly child: ChildProcess; readonly said: () => string } {
  const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  const command = [file('../../packages/conformance/dist/cli.js'), '--driver', file('../dist/conformance/rabbitmq.js')];
  const child = spawn(process.execPath, [...command, ...only.flatMap((id) => ['--only', id])], {
    env: { ...process.env, WAYBILL_RABBITMQ_URL: sharedRabbitmq().url },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  return { child, said: () => said };
}

/** Queues whose names begin as those of the suite do. */
async function leftovers(): Promise<readonly string[]> {
  const names = await sharedRabbitmq().exec(['rabbitmqctl', 'list_queues', '--silent', 'name']);
  return names
    .split('\n')
    .filter((name) => /^(waybill\.trial\.)?c[a-z0-9]{8,}\.(desk|archive|cabinet|track|outbox)/.test(name));
}

containerTest('a run on a given broker removes its queues, and those of a run that crashed', async () => {
  const crashing = conformance('drain-held-retries', 'lease-outlived');
  await eventually(async () => expect(await leftovers()).not.toEqual([]), { withinMs: 20_000 });
  crashing.child.kill('SIGKILL');
  expect(await leftovers()).not.toEqual([]);
  const next = conformance('stored-before-resolve', 'recovery-broker-killed');
  const code = await new Promise((resolve) => next.child.once('exit', resolve));
  expect(code).toBe(0);
  expect(next.said()).toContain('(the broker is given by WAYBILL_RABBITMQ_URL)');
  await eventually(async () => expect(await leftovers()).toEqual([]), { withinMs: 10_000 });
});
