import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Driver } from '@waybill/core';
import type { DriverSettings, Session, WorkerModule } from './harness.ts';
import type { Entry, History } from './history.ts';
import { heldBy, type Program, type Report, type Running, runProgram } from './program.ts';

/** A consumer in a process of its own, or in one that is simulated in this one. */
export interface Worker {
  readonly name: string;
  /** What it told so far. */
  readonly reports: readonly Report[];
  readonly alive: boolean;
  /** Resolves once its process has ended, however. */
  readonly ended: Promise<void>;
  /** Ends it at once: SIGKILL. */
  kill(): void;
  /** SIGSTOP and SIGCONT; only of real processes. */
  freeze(on: boolean): void;
  /** How many messages it holds, running or not; no answer of a frozen one before it goes on. */
  held(): Promise<number>;
  /** Closes its bus and ends it. Resolves with how long that took, in ms. */
  close(deadlineMs?: number): Promise<number>;
}

export interface WorkerContext {
  readonly session: Session;
  readonly history: History;
  readonly record: (driver: Driver, process: string) => Driver;
  readonly onReport: (report: Report) => void;
}

/** Starts a program. Resolves once it consumes. */
export function startWorker(
  context: WorkerContext,
  name: string,
  program: Program,
  settings: DriverSettings,
): Promise<Worker> {
  const { worker } = context.session;
  return worker === undefined
    ? simulated(context, name, program, settings)
    : forked(context, name, program, { worker, settings });
}

function teller({ history, onReport }: WorkerContext, name: string, reports: Report[]): (report: Report) => void {
  return (report) => {
    reports.push(report);
    const what = report.what === 'aborted' ? 'failed' : report.what;
    history.add({
      at: report.at,
      process: name,
      what,
      id: report.id,
      detail: `attempt ${report.attempt} n ${report.n} key ${report.key}${report.what === 'aborted' ? ' aborted' : ''}`,
    });
    onReport(report);
  };
}

async function simulated(
  context: WorkerContext,
  name: string,
  program: Program,
  settings: DriverSettings,
): Promise<Worker> {
  const driver = context.session.createDriver(settings);
  const worker = new SimulatedWorker(name, () => context.session.killDriver?.(driver));
  const tell = teller(context, name, worker.reports);
  const starting = runProgram(
    context.record(driver, name),
    program,
    (report) => {
      if (worker.alive) tell(report);
      return undefined;
    },
    worker.kill,
  );
  worker.running = starting;
  await starting;
  return worker;
}

class SimulatedWorker implements Worker {
  readonly name: string;
  readonly reports: Report[] = [];
  readonly ended: Promise<void>;
  readonly #die: () => void;
  #end: () => void = () => undefined;
  alive = true;
  running: Promise<Running> | undefined;

  constructor(name: string, die: () => void) {
    this.name = name;
    this.#die = die;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  readonly kill = (): void => {
    if (!this.alive) return;
    this.#die();
    // Nothing of a dead process reaches the broker any more; nothing of it keeps this one alive either.
    void this.running?.then(({ bus }) => bus.close({ deadlineMs: 0 })).catch(() => undefined);
    this.#over();
  };

  freeze(): void {
    throw new Error(`${this.name} is simulated: it cannot be frozen`);
  }

  async held(): Promise<number> {
    return heldBy(await this.running);
  }

  async close(deadlineMs = 25_000): Promise<number> {
    const startedAt = Date.now();
    await (await this.running)?.bus.close({ deadlineMs });
    this.#over();
    return Date.now() - startedAt;
  }

  #over(): void {
    this.alive = false;
    this.#end();
  }
}

/** What a worker process is sent. */
export type Order =
  | {
      readonly do: 'start';
      readonly module: WorkerModule;
      readonly name: string;
      readonly settings: DriverSettings;
      readonly program: Program;
    }
  | { readonly do: 'held' }
  | { readonly do: 'close'; readonly deadlineMs: number };

/** What it answers. */
export type Answer =
  | { readonly is: 'ready' }
  | { readonly is: 'failed'; readonly message: string }
  | { readonly is: 'held'; readonly held: number }
  | { readonly is: 'report'; readonly report: Report }
  | { readonly is: 'history'; readonly entries: readonly Entry[] };

const READY_WITHIN_MS = 30_000;

async function forked(
  context: WorkerContext,
  name: string,
  program: Program,
  { worker, settings }: { readonly worker: WorkerModule; readonly settings: DriverSettings },
): Promise<Worker> {
  const reports: Report[] = [];
  const tell = teller(context, name, reports);
  const child = fork(fileURLToPath(new URL('./worker-main.js', import.meta.url)), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const ready = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`worker ${name} did not start within ${READY_WITHIN_MS} ms`)),
      READY_WITHIN_MS,
    );
    void ended.then(() => reject(new Error(`worker ${name} ended before it was ready`)));
    child.on('message', (answer: Answer) => {
      if (answer.is === 'report') return tell(answer.report);
      if (answer.is === 'held') return;
      if (answer.is === 'history') return answer.entries.forEach((entry) => context.history.add(entry));
      clearTimeout(timer);
      if (answer.is === 'ready') resolve();
      else reject(new Error(`worker ${name}: ${answer.message}`));
    });
  });
  const order: Order = { do: 'start', module: worker, name, settings, program };
  child.send(order);
  try {
    await ready;
  } catch (error) {
    // Nobody knows it, and as long as it lives this process does.
    child.kill('SIGKILL');
    await ended;
    throw error;
  }
  return control(name, child, reports, ended);
}

function control(name: string, child: ChildProcess, reports: readonly Report[], ended: Promise<void>): Worker {
  return {
    name,
    reports,
    ended,
    get alive() {
      return child.exitCode === null && child.signalCode === null;
    },
    kill: () => void child.kill('SIGKILL'),
    freeze: (on) => void child.kill(on ? 'SIGSTOP' : 'SIGCONT'),
    held: () => askHeld(name, child),
    async close(deadlineMs = 25_000) {
      const startedAt = Date.now();
      const order: Order = { do: 'close', deadlineMs };
      if (child.connected) child.send(order);
      await ended;
      return Date.now() - startedAt;
    },
  };
}

function askHeld(name: string, child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const over = (): void => {
      child.off('message', onAnswer);
      child.off('exit', onExit);
    };
    const onAnswer = (answer: Answer): void => {
      if (answer.is !== 'held') return;
      over();
      resolve(answer.held);
    };
    const onExit = (): void => {
      over();
      reject(new Error(`worker ${name} ended before it told what it holds`));
    };
    child.on('message', onAnswer);
    child.once('exit', onExit);
    const order: Order = { do: 'held' };
    if (child.connected) child.send(order);
    else onExit();
  });
}
