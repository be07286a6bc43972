import type { Contract } from '../contract/contract.ts';
import { type Awaitable, isPromise, upcast } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import type { OutgoingMessage } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import type { Message } from '../envelope/envelope.ts';
import { CollectedSends } from '../failure/collected-sends.ts';
import { HandlerWatch, type Timed } from '../failure/handler-time.ts';
import { HandlerTimeout, poisonReason } from '../failure/retry-schedule.ts';
import { type AnyHandler, Attempt, type AttemptOptions, type CheckSend } from './handler-context.ts';
import type { HandleScope } from './middleware.ts';
import type { Observe, Outcome } from './observe.ts';
import type { Outcomes, Reporter } from './outcomes.ts';
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

/** What all runs of a consumer share. */
interface RunShared {
  readonly timeoutMs: number;
  readonly onOverrun: (run: Run) => void;
  readonly onReport: (run: Run, outcome: Outcome, error: unknown) => void;
}

class Run implements Timed, Reporter {
  readonly task: Task;
  readonly attempt: Attempt;
  readonly startedAt: number;
  readonly shared: RunShared;
  timeout: HandlerTimeout | undefined;
  overran = false;
  /** Among those that are watched. */
  place = -1;
  /** Only what goes on after its first step can run out of time. */
  watched = false;

  constructor(task: Task, attempt: Attempt, startedAt: number, shared: RunShared) {
    this.task = task;
    this.attempt = attempt;
    this.startedAt = startedAt;
    this.shared = shared;
  }

  abort(): void {
    this.timeout = new HandlerTimeout(this.shared.timeoutMs);
    this.task.abort(this.timeout);
  }

  overrun(): void {
    this.overran = true;
    this.shared.onOverrun(this);
  }

  report(outcome: Outcome, error?: unknown): void {
    this.shared.onReport(this, outcome, error);
  }
}

const NONE: readonly OutgoingMessage[] = [];

/** Runs attempts: decoding to the latest version, middlewares, the handler, its time. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #watch: HandlerWatch;
  readonly #attempts: AttemptOptions;
  readonly #shared: RunShared;
  #closing = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#watch = new HandlerWatch(options.clock, options.timeoutMs);
    const { queue, preparer, checkSend } = options;
    this.#shared = {
      timeoutMs: options.timeoutMs,
      onOverrun: (run) => this.#overran(run),
      onReport: (run, outcome, error) => this.#report(run, outcome, error),
    };
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
    const { outcomes, clock } = this.#options;
    task.running = true;
    task.controller = undefined;
    if (poison !== undefined || message === undefined) {
      if (this.#ends(task) && poison !== undefined) outcomes.poisoned(task, poison.reason, poison.error);
      return this.#options.onReturned(task);
    }
    const attempt = new Attempt(task, message, this.#attempts);
    const run = new Run(task, attempt, clock.now(), this.#shared);
    let result: Awaitable<unknown>;
    try {
      result = this.#handle(message, attempt);
    } catch (error) {
      return this.#failed(run, error);
    }
    if (!isPromise(result)) return this.#succeeded(run);
    run.watched = true;
    this.#watch.start(run);
    result.then(
      () => this.#succeeded(run),
      (error: unknown) => this.#failed(run, error),
    );
  }

  #handle({ type, data, metadata }: Message, attempt: Attempt): Awaitable<unknown> {
    const contract = this.#options.contracts.get(type) as Contract;
    const fitting = this.#fit(contract, metadata.version, data);
    return isPromise(fitting)
      ? fitting.then((value) => this.#call(type, value, attempt))
      : this.#call(type, fitting, attempt);
  }

  #call(type: string, data: unknown, attempt: Attempt): Awaitable<unknown> {
    const { handlers, middleware } = this.#options;
    const handler = handlers[type] as AnyHandler;
    if (middleware === undefined) return handler(data, attempt);
    return middleware(attempt, async () => void (await handler(data, attempt)));
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
    const { attempt } = run;
    const { outgoing } = attempt;
    attempt.end();
    if (outgoing === undefined || run.overran) return this.#accepted(run, NONE);
    outgoing.take().then(
      (messages) => this.#accepted(run, messages),
      (error: unknown) => this.#failed(run, error),
    );
  }

  #accepted(run: Run, messages: readonly OutgoingMessage[]): void {
    const { task } = run;
    if (this.#ends(task, run)) this.#options.outcomes.succeeded(task, messages, run);
    this.#options.onReturned(task);
  }

  #failed(run: Run, thrown: unknown): void {
    if (this.#ends(run.task, run)) this.#judge(run, thrown);
    this.#options.onReturned(run.task);
  }

  #judge(run: Run, thrown: unknown): void {
    const { task, timeout } = run;
    const { outcomes } = this.#options;
    if (thrown instanceof Unfit) {
      const reason = poisonReason(thrown.error) ?? 'invalid';
      this.#report(run, reason === 'unknown-version' ? 'retried' : 'dead-lettered', thrown.error);
      return outcomes.poisoned(task, reason, thrown.error);
    }
    const stopped = this.#closing && timeout === undefined && task.controller?.signal.aborted === true;
    if (stopped) return this.#report(run, 'dropped', thrown);
    this.#report(run, outcomes.failed(task, timeout ?? thrown), thrown);
  }

  /** The handler returned. Whether what becomes of its message is to be decided now: it may be already, or it is not ours any more. */
  #ends(task: Task, run?: Run): boolean {
    const overran = run?.overran === true;
    if (!overran) task.running = false;
    if (run?.watched === true) this.#watch.finish(run);
    run?.attempt.end();
    if (task.lost && run !== undefined) this.#report(run, 'dropped', undefined);
    return !task.lost && !overran;
  }

  /** Its grace is over: the attempt is judged, its slot stays taken until the handler returns. */
  #overran(run: Run): void {
    const { task, timeout } = run;
    const { observe, queue, outcomes, clock } = this.#options;
    observe?.({ name: 'stuck', queue, type: task.type, id: task.id, sinceMs: clock.now() - run.startedAt });
    task.running = false;
    if (task.lost) this.#options.onAbandoned(task);
    else this.#report(run, outcomes.failed(task, timeout), timeout);
  }

  #report(run: Run, outcome: Outcome, error: unknown): void {
    const { observe, queue, clock } = this.#options;
    if (observe === undefined) return;
    const { task, startedAt } = run;
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
