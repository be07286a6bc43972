import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Result, Task } from './run-measure.ts';

/** A round, as it is told to the process that runs it. */
export interface Assignment extends Omit<Task, 'side'> {
  readonly broker: string;
  readonly side: string;
}

/** A process that serves for hours has a heap of young objects that is not small, and keeps the code it ran. */
const LIKE_A_SERVICE = ['--expose-gc', '--min-semi-space-size=16', '--no-flush-bytecode'];
const LONGEST_MS = 90_000;
const SCRIPT = fileURLToPath(new URL('run-one.js', import.meta.url));

/** Runs a round in a process of its own. Rejects with what went wrong there, or when it takes too long. */
export async function runInChild(assignment: Assignment, flags: readonly string[] = []): Promise<Result> {
  const env = { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true', NO_COLOR: '1' };
  const child = fork(SCRIPT, [], {
    execArgv: [...LIKE_A_SERVICE, ...flags],
    env,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), LONGEST_MS);
  try {
    return await new Promise<Result>((resolve, reject) => {
      let told: { readonly result?: Result; readonly error?: string } = {};
      child.on('message', (message) => (told = message as typeof told));
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        const { side, setting } = assignment;
        const why = told.error ?? `ended with ${signal ?? code}`;
        if (told.result === undefined) reject(new Error(`${side}, ${setting.measure}: ${why}`));
        else resolve(told.result);
      });
      child.send(assignment);
    });
  } finally {
    clearTimeout(timer);
  }
}
