import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { eventually, startWorker } from '../src/index.ts';
import { isAlive, startOf } from '../src/process-life.ts';
import { lifeGuard } from '../src/worker-guard.ts';

const file = new URL('echo-worker.mjs', import.meta.url);
const isReady = (message: unknown): message is { ready: true } => has(message, 'ready');
const isEcho = (message: unknown): message is { echo: unknown; argument: string } => has(message, 'echo');

function has(message: unknown, name: string): boolean {
  return typeof message === 'object' && message !== null && name in message;
}

test('exchanges JSON messages and dies of SIGKILL', async () => {
  const worker = startWorker(file, { args: ['argument'] });
  await worker.received(isReady);
  await worker.send({ number: 1 });
  expect(await worker.received(isEcho)).toEqual({ echo: { number: 1 }, argument: 'argument' });
  expect(await worker.kill()).toMatchObject({ code: null, signal: 'SIGKILL' });
});

test('tells how a worker ended that sent nothing more', async () => {
  const worker = startWorker(file);
  await worker.send('crash');
  await expect(worker.received(isEcho)).rejects.toThrow('crashed as told');
  expect(await worker.exited).toMatchObject({ code: 1 });
});

test('ends a worker after its life', async () => {
  const worker = startWorker(file, { lifeMs: 300 });
  expect(await worker.exited).toMatchObject({ signal: 'SIGKILL' });
});

test('ends a worker whose parent was killed', async () => {
  const parent = spawn(process.execPath, [
    fileURLToPath(new URL('parent-worker.mjs', import.meta.url)),
    lifeGuard(60_000),
  ]);
  const [chunk] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(chunk.toString());
  const started = startOf(pid);
  expect(isAlive(pid, started)).toBe(true);
  parent.kill('SIGKILL');
  await eventually(() => !isAlive(pid, started));
});

test('eventually tells the last failure and the number of tries', async () => {
  const failing = eventually(() => Promise.reject(new Error('still wrong')), { withinMs: 100 });
  await expect(failing).rejects.toThrow(/Not within 100 ms \(\d+ tries\): still wrong/);
  await expect(eventually(() => false, { withinMs: 60 })).rejects.toThrow('the check returned false');
  expect(await eventually(() => 0)).toBe(0);
});
