import type { Contract } from '../contract/contract.ts';
import { type Awaitable, chain } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import type { Delivery, Driver, Queue, Subscription } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { type CloseTimes, settledBy } from '../failure/close.ts';
import { CrashIsolation } from '../failure/crash-poison.ts';
import type { Reconnect } from './backoff.ts';
import type { ConsumeSettings } from './consume-options.ts';
import type { AnyHandler, CheckSend } from './handler-context.ts';
import { Holding } from './holding.ts';
import { readDeliveries } from './intake.ts';
import { Leases } from './leases.ts';
import type { Codec, HandleScope } from './middleware.ts';
import type { ConsumerStatus, Observe } from './observe.ts';
import { Outcomes } from './outcomes.ts';
import type { Preparer } from './prepare.ts';
import type { Publisher } from './publisher.ts';
import { Reception } from './reception.ts';
import { Runner } from './runner.ts';
import { Scheduler } from './scheduler.ts';
import { Settler } from './settler.ts';
import type { Task } from './task.ts';

export interface ConsumerOptions {
  readonly name: string;
  readonly queue: Queue;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly handlers: Readonly<Record<string, AnyHandler>>;
  readonly settings: ConsumeSettings;
  readonly driver: Driver;
  readonly publisher: Publisher;
  readonly preparer: Preparer;
  readonly checkSend: CheckSend;
  readonly middleware: ((scope: HandleScope, handler: () => Promise<void>) => Promise<void>) | undefined;
  readonly codec: Codec | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly reconnect: Reconnect;
  readonly observe: Observe | undefined;
  /** Called before a batch of settlements is built: notices a frozen process. */
  readonly beforeSettle: () => void;
  readonly provision: (signal: AbortSignal, again: boolean) => Promise<unknown>;
}

export interface ConsumerHealth {
  readonly queue: string;
  readonly status: ConsumerStatus;
  /** Deliveries that are neither settled nor lost. */
  readonly held: number;
  /** Handlers that have not returned. */
  readonly running: number;
  readonly error?: WaybillError;
}

/** Share of a close that is kept for giving back what is left. */
const LAST_MS = 500;
const GIVE_BACK_MS = 1_000;

/** One consumer of one process: owns what it received until that is settled or lost. */
export class QueueConsumer {
  readonly #options: ConsumerOptions;
  readonly #holding = new Holding();
  readonly #isolation: CrashIsolation;
  readonly #reception: Reception;
  readonly #scheduler: Scheduler;
  readonly #settler: Settler;
  readonly #leases: Leases;
  readonly #outcomes: Outcomes;
  readonly #runner: Runner;
  #suspects: readonly Task[] = [];
  #isolating = false;
  #closing: Promise<void> | undefined;

  constructor(options: ConsumerOptions) {
    const { clock, settings, driver, queue, name, contracts, handlers, reconnect, random, observe } = options;
    const { publisher, preparer, checkSend, middleware, beforeSettle, provision } = options;
    const onLost = (tasks: readonly Task[], cause: WaybillError): void => this.#lost(tasks, cause);
    const guard = (task: Task): 'go' | 'wait' | 'drop' => this.#leases.guard(task);
    this.#options = options;
    this.#isolation = new CrashIsolation(driver.capabilities.maxDeliveries);
    this.#reception = new Reception({
      name, clock, reconnect, random, observe, provision,
      atMost: driver.limits.receive.count,
      subscribe: () => this.#subscribe(),
      room: (subscription) => this.#room(subscription),
      arrive: (deliveries) => this.#arrive(deliveries),
    });
    this.#scheduler = new Scheduler(clock, settings.concurrency, (task) => this.#runner.start(task));
    this.#leases = new Leases({
      clock, onLost,
      batch: driver.limits.settle.count,
      held: this.#holding.tasks,
      onVerified: () => this.#poke(),
    });
    this.#settler = new Settler({
      clock, reconnect, random, guard, onLost, beforeSettle,
      limit: driver.limits.settle,
      onSettled: (task) => this.#settled(task),
    });
    this.#outcomes = new Outcomes({
      settings, clock, random, observe, guard, publisher,
      queue: { name, physicalName: queue.name, ordered: queue.ordered },
      topicOf: (type) => topicOf(contracts.get(type)),
      capabilities: driver.capabilities,
      settler: this.#settler,
      hold: (task, dueAt) => this.#scheduler.hold(task, dueAt),
    });
    this.#runner = new Runner({
      contracts, clock, observe, handlers, middleware, preparer, checkSend,
      queue: name,
      timeoutMs: settings.timeoutMs,
      outcomes: this.#outcomes,
      onReturned: (task) => this.#returned(task),
      onAbandoned: (task) => this.#scheduler.done(task),
    });
  }

  /** Resolves once messages sent from now on would arrive; waits for a broker that is down until `signal` aborts. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const onAbort = (): void => this.#reception.stop();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#reception.start();
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  health(): ConsumerHealth {
    const { status, error } = this.#reception;
    const health = { queue: this.#options.name, status, held: this.#holding.size, running: this.#scheduler.running };
    return error === undefined ? health : { ...health, error };
  }

  /** Called every now and then: leases, and whether anything moves. */
  tick(): void {
    this.#leases.tick();
    const { settings, queue } = this.#options;
    this.#reception.tick(queue.ordered && this.#holding.size >= settings.window && this.#scheduler.running === 0);
  }

  /** This process was frozen: what it holds may be somebody else's by now. */
  doubtAll(): void {
    this.#leases.doubtAll();
  }

  /**
   * Stops receiving, gives back what was not started, lets handlers run until `abortAt`, settles, and ends by
   * `deadlineMs`. Never rejects.
   */
  close(times: CloseTimes): Promise<void> {
    this.#closing ??= this.#close(times);
    return this.#closing;
  }

  async #close({ abortAt, deadlineMs }: CloseTimes): Promise<void> {
    const { clock, queue, name } = this.#options;
    this.#reception.stop();
    this.#scheduler.stop();
    this.#runner.close();
    const { subscription } = this.#reception;
    // On an ordered queue successors stay here until their predecessors are settled: another process would overtake them.
    if (!queue.ordered && subscription !== undefined) {
      await settledBy(clock, Math.min(abortAt, clock.now() + GIVE_BACK_MS), subscription.resize(0));
      for (const task of this.#holding.tasks) if (!task.running && !task.ending) this.#release(task);
    }
    if (!(await settledBy(clock, abortAt, this.#quiet()))) {
      const reason = new WaybillError('CLOSED', `The consumer of "${name}" is closing and its time for handlers is up.`);
      for (const task of this.#holding.tasks) if (task.running) task.abort(reason);
      await settledBy(clock, deadlineMs - LAST_MS, this.#quiet());
    }
    if (subscription !== undefined) await settledBy(clock, deadlineMs, subscription.close(deadlineMs));
    this.#runner.stop();
    this.#holding.abandon();
  }

  /** Resolves once no handler runs and everything decided is settled. */
  async #quiet(): Promise<void> {
    while (this.#busy) await this.#reception.changed();
  }

  get #busy(): boolean {
    return this.#scheduler.running > 0 || this.#outcomes.pending > 0 || this.#settler.size > 0;
  }

  async #subscribe(): Promise<Subscription> {
    const { driver, queue, settings } = this.#options;
    const subscription = await driver.subscribe(queue, 'work', {
      maxInFlight: this.#isolation.isolated ? 1 : settings.window,
      onLost: (deliveries, cause) => this.#lost(this.#holding.of(deliveries), cause),
    });
    this.#settler.use(subscription);
    this.#leases.use(subscription);
    return subscription;
  }

  #room(subscription: Subscription): Awaitable<number> {
    const left = (): number => (this.#isolation.isolated ? 1 : this.#options.settings.window) - this.#holding.size;
    if (this.#holding.size > 0) return this.#isolating ? 0 : left();
    if (this.#isolating) return subscription.resize(1).then(() => (this.#isolate(), left()));
    if (!this.#isolation.cleared) return left();
    return subscription.resize(this.#options.settings.window).then(() => (this.#isolation.open(), left()));
  }

  #isolate(): void {
    this.#isolating = false;
    this.#isolation.isolate();
    this.#scheduler.resume();
  }

  #arrive(deliveries: readonly Delivery[]): Awaitable<void> {
    const { name, queue, contracts, codec, clock } = this.#options;
    const tasks = readDeliveries({ queue: name, ordered: queue.ordered, contracts, codec }, deliveries, clock.now());
    return chain(tasks, (read) => this.#take(read));
  }

  #take(tasks: readonly Task[]): void {
    for (const task of tasks) {
      const suspicion = this.#isolation.judge(task.delivery.deliveries, this.#holding.size);
      this.#holding.add(task);
      if (this.#reception.stopped) this.#release(task);
      else if (suspicion === 'isolate') this.#suspect(task);
      else if (suspicion === 'crash-loop') this.#crashLoop(task);
      else this.#admit(task);
    }
    if (this.#isolating) this.#drain();
  }

  #admit(task: Task): void {
    const { clock, driver } = this.#options;
    const { notBefore, attempt, hops } = task.bookkeeping;
    const unbound = !driver.capabilities.filtersTypes && task.poison?.reason === 'unknown-type';
    if (notBefore !== undefined && notBefore > clock.now()) this.#outcomes.early(task, notBefore);
    // A first delivery of a type that is not bound comes from a broker without filters; a copy was ours once.
    else if (unbound && attempt === 1 && hops === undefined) this.#outcomes.skipped(task, 'unbound-type');
    else this.#scheduler.add(task);
  }

  #suspect(task: Task): void {
    const { observe, name, queue } = this.#options;
    this.#suspects = [...this.#suspects, task];
    if (this.#isolating) return;
    this.#isolating = true;
    observe?.({ name: 'isolated', queue: name, deliveries: task.delivery.deliveries });
    // Order would not survive that some of what is held goes on and some goes back.
    if (queue.ordered) this.#scheduler.stop();
  }

  /** On the way into isolation: once nothing else is left to do, what remains goes back to the broker. */
  #drain(): void {
    const { ordered } = this.#options.queue;
    if (this.#suspects.length === 0 || (ordered ? this.#busy : this.#holding.size > this.#suspects.length)) return;
    for (const task of ordered ? this.#holding.tasks : this.#suspects) this.#release(task);
    this.#suspects = [];
  }

  #crashLoop(task: Task): void {
    const { deliveries } = task.delivery;
    const text = `It was handed out ${deliveries} times, at last alone, and no attempt came to an end: it may kill the process.`;
    this.#outcomes.dead(task, 'crash-loop', new WaybillError('UNKNOWN', text));
  }

  #release(task: Task): void {
    task.ending = true;
    this.#settler.release(task);
  }

  /** Its handler returned; what becomes of it is decided. */
  #returned(task: Task): void {
    if (task.lost) this.#scheduler.done(task);
    this.#scheduler.freeSlot();
    this.#changed();
  }

  #settled(task: Task): void {
    this.#holding.delete(task);
    this.#scheduler.done(task);
    this.#changed();
  }

  #lost(tasks: readonly Task[], cause: WaybillError): void {
    const lost = tasks.filter((task) => !task.lost && this.#holding.delete(task));
    if (lost.length === 0) return;
    for (const task of lost) {
      task.lost = true;
      if (task.running) task.abort(cause);
      else this.#scheduler.done(task);
    }
    this.#suspects = this.#suspects.filter((task) => !task.lost);
    this.#options.observe?.({ name: 'lease-lost', queue: this.#options.name, count: lost.length, error: cause });
    this.#poke();
    this.#changed();
  }

  #poke(): void {
    this.#settler.poke();
    this.#options.publisher.poke();
  }

  #changed(): void {
    if (this.#isolating) this.#drain();
    this.#reception.poke();
  }
}

function topicOf(contract: Contract | undefined): string | undefined {
  return contract !== undefined && 'topic' in contract ? String(contract.topic) : undefined;
}
