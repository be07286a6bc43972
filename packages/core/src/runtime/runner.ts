import type { Contract } from '../contract/contract.ts';
import { type Awaitable, chain, isPromise, upcast } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import { WaybillError } from '../driver/errors.ts';
import { CollectedSends } from '../failure/collected-sends.ts';
import { HandlerWatch, type Timed } from '../failure/handler-time.ts';
import { HandlerTimeout, poisonReason } from '../failure/retry-schedule.ts';
import { type AnyHandler, Attempt, type AttemptOptions, type CheckSend } from './handler-context.ts';
import type { HandleScope } from './middleware.ts';
import type { Observe, Outcome } from './observe.ts';
import type { Outcomes } from './outcomes.ts';
import type { Preparer } from './prepare.ts';
import type { Task } from './task.ts';

export interface RunnerOptions {
  readonly queue: string;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly handlers: Readonly<Record<string, AnyHandler>>;
  readonly middleware: ((scope: HandleScope, handler: () => Promise<void>) => Promise<void>) | undefined;
  readonly preparer: Preparer;
  readonly checkSend: CheckSend;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly observe: Observe | undefined;
  readonly outcomes: Outcomes;
  /** The handler returned: its slot is free. */
  readonly onReturned: (task: Task) => void;
  /** The handler of a lost task did not return in time: its successors wait no longer. */
  readonly onAbandoned: (task: Task) => void;
}

/** Thrown data that fits no schema is poison; the same error thrown by a handler is a failed attempt. */
class Unfit extends Error {
  readonly error: unknown;
  constructor(error: unknown) {
    super('the data does not fit', { cause: error });
    this.error = error;
  }
}

interface RunTimes {
  readonly startedAt: number;
  readonly timeoutMs: number;
  readonly onOverrun: (run: Run) => void;
}

class Run implements Timed {
  readonly task: Task;
  readonly attempt: Attempt;
  readonly times: RunTimes;
  timeout: HandlerTimeout | undefined;
  overran = false;

  constructor(task: Task, attempt: Attempt, times: RunTimes) {
    this.task = task;
    this.attempt = attempt;
    this.times = times;
  }

  abort(): void {
    this.timeout = new HandlerTimeout(this.times.timeoutMs);
    this.task.abort(this.timeout);
  }

  overrun(): void {
    this.overran = true;
    this.times.onOverrun(this);
  }
}

/** Runs attempts: decoding to the latest version, middlewares, the handler, its time. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #watch: HandlerWatch;
  readonly #attempts: AttemptOptions;
  readonly #onOverrun = (run: Run): void => this.#overran(run);
  #closing = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#watch = new HandlerWatch(options.clock, options.timeoutMs);
    const { queue, preparer, checkSend } = options;
    this.#attempts = { queue, checkSend, collect: (incoming) => new CollectedSends(preparer, queue, incoming) };
  }

  /** From now on a handler that ends because its signal aborted has not failed: its message is given back. */
  close(): void {
    this.#closing = true;
  }

  stop(): void {
    this.#watch.stop();
  }

  start(task: Task): void {
    const { message, poison } = task;
    const { outcomes, clock, timeoutMs } = this.#options;
    task.running = true;
    task.controller = undefined;
    if (poison !== undefined || message === undefined) {
      return this.#end(task, () => poison && outcomes.poisoned(task, poison.reason, poison.error));
    }
    const attempt = new Attempt(task, message, this.#attempts);
    const run = new Run(task, attempt, { startedAt: clock.now(), timeoutMs, onOverrun: this.#onOverrun });
    this.#watch.start(run);
    let result: Awaitable<unknown>;
    try {
      result = this.#handle(run);
    } catch (error) {
      return this.#failed(run, error);
    }
    if (!isPromise(result)) return this.#succeeded(run);
    result.then(
      () => this.#succeeded(run),
      (error: unknown) => this.#failed(run, error),
    );
  }

  #handle({ attempt }: Run): Awaitable<unknown> {
    const { contracts, handlers, middleware } = this.#options;
    const { type, data, metadata } = attempt.message;
    const handler = handlers[type] as AnyHandler;
    return chain(this.#fit(contracts.get(type) as Contract, metadata.version, data), (fitting) => {
      if (middleware === undefined) return handler(fitting, attempt);
      return middleware(attempt, async () => void (await handler(fitting, attempt)));
    });
  }

  #fit(contract: Contract, version: number, data: unknown): Awaitable<unknown> {
    try {
      const fitting = upcast(contract, version, data);
      return isPromise(fitting) ? fitting.then(undefined, unfit) : fitting;
    } catch (error) {
      return unfit(error);
    }
  }

  #succeeded(run: Run): void {
    const { attempt, task } = run;
    const { outgoing } = attempt;
    attempt.end();
    if (outgoing === undefined || run.overran) return this.#end(task, () => this.#accepted(run, []), run);
    outgoing.take().then(
      (messages) => this.#end(task, () => this.#accepted(run, messages), run),
      (error: unknown) => this.#failed(run, error),
    );
  }

  #accepted(run: Run, messages: Parameters<Outcomes['succeeded']>[1]): void {
    this.#options.outcomes.succeeded(run.task, messages, (outcome, error) => this.#report(run, outcome, error));
  }

  #failed(run: Run, thrown: unknown): void {
    const { task, timeout } = run;
    const { outcomes } = this.#options;
    this.#end(
      task,
      () => {
        if (thrown instanceof Unfit) {
          const reason = poisonReason(thrown.error) ?? 'invalid';
          this.#report(run, reason === 'unknown-version' ? 'retried' : 'dead-lettered', thrown.error);
          return outcomes.poisoned(task, reason, thrown.error);
        }
        const stopped = this.#closing && timeout === undefined && task.controller?.signal.aborted === true;
        if (stopped) return this.#report(run, 'dropped', thrown);
        this.#report(run, outcomes.failed(task, timeout ?? thrown), thrown);
      },
      run,
    );
  }

  /** The handler returned; `decide` says what becomes of its message unless that is decided or not ours any more. */
  #end(task: Task, decide: () => void, run?: Run): void {
    if (run?.overran !== true) task.running = false;
    if (run !== undefined) this.#watch.finish(run);
    run?.attempt.end();
    if (task.lost) {
      if (run !== undefined) this.#report(run, 'dropped', undefined);
    } else if (run?.overran !== true) {
      decide();
    }
    this.#options.onReturned(task);
  }

  /** Its grace is over: the attempt is judged, its slot stays taken until the handler returns. */
  #overran(run: Run): void {
    const { task, timeout } = run;
    const { observe, queue, outcomes, clock } = this.#options;
    observe?.({ name: 'stuck', queue, type: task.type, id: task.id, sinceMs: clock.now() - run.times.startedAt });
    task.running = false;
    if (task.lost) this.#options.onAbandoned(task);
    else this.#report(run, outcomes.failed(task, timeout), timeout);
  }

  #report(run: Run, outcome: Outcome, error: unknown): void {
    const { observe, queue, clock } = this.#options;
    if (observe === undefined) return;
    const { task } = run;
    const { startedAt } = run.times;
    const traceparent = task.message?.metadata.traceparent;
    observe({
      name: 'handled',
      queue,
      type: task.type,
      id: task.id,
      attempt: run.attempt.attempt,
      deliveries: task.delivery.deliveries,
      outcome,
      startedAt,
      durationMs: clock.now() - startedAt,
      ...(traceparent === undefined ? {} : { traceparent }),
      ...(error === undefined ? {} : { error }),
    });
  }
}

function unfit(error: unknown): never {
  const cause = WaybillError.is(error)
    ? error
    : new WaybillError('INVALID_MESSAGE', 'A schema threw.', { cause: error });
  throw new Unfit(cause);
}
