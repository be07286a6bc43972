import { type ChildProcess, fork, type Serializable } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { eventually, type EventuallyOptions } from './eventually.ts';
import { lifeGuard, parentSetting } from './worker-guard.ts';

export interface WorkerOptions {
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Kills the process after this time. @default 60000 */
  readonly lifeMs?: number;
}

export interface WorkerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it wrote to standard output and standard error. */
  readonly text: string;
}

/** A Node process of its own that talks JSON over `process.send` and `process.on('message')`. */
export interface Worker {
  readonly pid: number;
  /** Every message it sent so far, in order. */
  readonly messages: readonly unknown[];
  /** Resolves once it ended, for whatever reason. */
  readonly exited: Promise<WorkerExit>;
  send(message: Serializable): Promise<void>;
  /** Resolves with the first message, sent before or after this call, that `matches` takes. Rejects when it ends without. */
  received<T>(matches: (message: unknown) => message is T, options?: EventuallyOptions): Promise<T>;
  /** Sends a signal; resolves once the process is gone. @default 'SIGKILL' */
  kill(signal?: NodeJS.Signals): Promise<WorkerExit>;
}

/** Starts a JavaScript file in a process of its own. It dies with this process and at the latest after `lifeMs`. */
export function startWorker(file: URL, options: WorkerOptions = {}): Worker {
  const lifeMs = options.lifeMs ?? 60_000;
  const child = fork(fileURLToPath(file), options.args ?? [], {
    env: { ...process.env, ...options.environment, [parentSetting]: String(process.pid) },
    execArgv: ['--import', lifeGuard(lifeMs)],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const messages: unknown[] = [];
  let ended: WorkerExit | undefined;
  child.on('message', (message) => messages.push(message));
  const exited = exitOf(child, lifeMs).then((exit) => (ended = exit));
  return {
    pid: child.pid ?? 0,
    messages,
    exited,
    send: (message) => send(child, message),
    received: async (matches, within) => {
      const outcome = await eventually(() => {
        const found = messages.find(matches);
        return found === undefined && ended === undefined ? noMessage() : { found };
      }, within);
      return outcome.found ?? noMessage(ended);
    },
    kill: (signal = 'SIGKILL') => {
      child.kill(signal);
      return exited;
    },
  };
}

function exitOf(child: ChildProcess, lifeMs: number): Promise<WorkerExit> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), lifeMs);
  return new Promise((resolve) => {
    const end = (code: number | null, signal: NodeJS.Signals | null): void => {
      clearTimeout(timer);
      resolve({ code, signal, text });
    };
    child.once('close', end);
    child.once('error', (error) => {
      text += error.message;
      end(null, null);
    });
  });
}

function send(child: ChildProcess, message: Serializable): Promise<void> {
  return new Promise((resolve, reject) => {
    child.send(message, (error) => (error === null ? resolve() : reject(error)));
  });
}

function noMessage(ended?: WorkerExit): never {
  const how = ended === undefined ? 'runs' : `ended with ${ended.signal ?? `code ${ended.code}`}:\n${ended.text}`;
  throw new Error(`No such message from the worker, which ${how}`);
}
