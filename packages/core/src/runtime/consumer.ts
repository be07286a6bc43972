import type { Contract } from '../contract/contract.ts';
import { type Awaitable, chain } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import type { Delivery, Driver, Queue, Subscription } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { type CloseTimes, settledBy } from '../failure/close.ts';
import { Admission } from './admission.ts';
import type { Reconnect } from './backoff.ts';
import { BoundTypes } from './bound-types.ts';
import type { ConsumeSettings } from './consume-options.ts';
import type { AnyHandler, CheckSend } from './handler-context.ts';
import { Holding } from './holding.ts';
import { type IntakeOptions, readTasks, tasksOf } from './intake.ts';
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
  /** Called before anything is started or settled: a process that was frozen holds what others may have by now. */
  readonly noticeFreeze: () => void;
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

const GIVE_BACK_MS = 1_000;

/** One consumer of one process: owns what it received until that is settled or lost. */
export class QueueConsumer {
  readonly #options: ConsumerOptions;
  readonly #holding: Holding = new Holding();
  readonly #reception: Reception;
  readonly #scheduler: Scheduler;
  readonly #settler: Settler;
  readonly #leases: Leases;
  readonly #outcomes: Outcomes;
  readonly #runner: Runner;
  readonly #admission: Admission;
  readonly #boundTypes: BoundTypes;
  readonly #intake: IntakeOptions;
  #closing: Promise<void> | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    const { name, queue, contracts, codec, clock } = options;
    this.#intake = { fresh: { attempt: 1, queue: name }, ordered: queue.ordered, contracts, codec, clock };
    this.#scheduler = new Scheduler({
      clock: options.clock,
      concurrency: options.settings.concurrency,
      start: (task) => this.#runner.start(task),
      beforeStart: options.noticeFreeze,
      mayStart: (task) => this.#leases.guard(task),
    });
    this.#leases = this.#makeLeases(options);
    this.#settler = this.#makeSettler(options);
    this.#outcomes = this.#makeOutcomes(options);
    this.#runner = this.#makeRunner(options);
    this.#admission = this.#makeAdmission(options);
    this.#boundTypes = new BoundTypes(options.driver, options.queue, options.clock);
    this.#reception = this.#makeReception(options);
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
    const { settings, queue } = this.#options;
    this.#leases.tick();
    if (this.#admission.tick()) this.#reception.poke();
    const full = queue.ordered && this.#holding.size >= settings.window;
    this.#reception.tick(full && !this.#busy && this.#scheduler.ready === 0);
  }

  /** This process was frozen: what it holds may be somebody else's by now. */
  doubtAll(): void {
    this.#leases.doubtAll();
  }

  /**
   * Stops receiving, gives back what was not started, lets handlers run until `abortAt`, settles, and ends by
   * `deadlineMs`. Never rejects.
   */
  close(times: CloseTimes): Promise<unknown> {
    if (this.#closing !== undefined) return settledBy(this.#options.clock, times.deadlineMs, this.#closing);
    this.#closing = this.#close(times);
    return this.#closing;
  }

  async #close({ abortAt, handlersBy, deadlineMs }: CloseTimes): Promise<void> {
    const { clock, queue, name } = this.#options;
    this.#reception.stop();
    this.#scheduler.stop();
    this.#runner.close();
    const { subscription } = this.#reception;
    // On an ordered queue successors stay here until their predecessors are settled: another process would overtake them.
    if (!queue.ordered && subscription !== undefined) {
      await settledBy(clock, Math.min(abortAt, clock.now() + GIVE_BACK_MS), subscription.resize(0));
      this.#releaseUnstarted();
    }
    if (!(await settledBy(clock, abortAt, this.#quiet()))) {
      const reason = new WaybillError(
        'CLOSED',
        `The consumer of "${name}" is closing and its time for handlers is up.`,
      );
      this.#abortRunning(reason);
      await settledBy(clock, handlersBy, this.#quiet());
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

  #releaseUnstarted(): void {
    for (const task of this.#holding.tasks) {
      if (!task.running && !task.ending) this.#admission.release(task);
    }
  }

  #abortRunning(reason: WaybillError): void {
    for (const task of this.#holding.tasks) {
      if (task.running) task.abort(reason);
    }
  }

  async #subscribe(): Promise<Subscription> {
    const subscription = await this.#options.driver.subscribe(this.#options.queue, 'work', {
      maxInFlight: this.#admission.window,
      onLost: (deliveries, cause) => this.#lost(this.#holding.of(deliveries), cause),
    });
    this.#settler.use(subscription);
    this.#leases.use(subscription);
    return subscription;
  }

  #arrive(deliveries: readonly Delivery[]): Awaitable<void> {
    const tasks = tasksOf(this.#intake, deliveries);
    // Held from now on: leases are kept while a codec works, or the broker is asked.
    for (const task of tasks) this.#holding.add(task);
    const marked = chain(readTasks(this.#intake, tasks), () => this.#boundTypes.mark(tasks));
    return chain(marked, () => this.#take(tasks));
  }

  #take(tasks: readonly Task[]): void {
    this.#scheduler.together(() => {
      for (const task of tasks) {
        // A close while it was read gave it back.
        if (task.lost || task.ending) continue;
        if (this.#reception.stopped) this.#admission.release(task);
        else this.#admission.take(task);
      }
    });
    this.#admission.drain(this.#busy);
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
    // All of them first: else the end of one starts its successor, which is lost too.
    for (const task of lost) task.lost = true;
    this.#admission.forget(lost);
    for (const task of lost) {
      if (task.running) task.abort(cause);
      else this.#scheduler.done(task);
    }
    this.#options.observe?.({ name: 'lease-lost', queue: this.#options.name, count: lost.length, error: cause });
    this.#poke();
    this.#changed();
  }

  #poke(): void {
    this.#settler.poke();
    this.#scheduler.poke();
    this.#options.publisher.poke();
  }

  #changed(): void {
    this.#admission.drain(this.#busy);
    this.#reception.poke();
  }

  #makeLeases({ clock, driver }: ConsumerOptions): Leases {
    return new Leases({
      clock,
      batch: driver.limits.settle.count,
      held: this.#holding.tasks,
      onLost: (tasks, cause) => this.#lost(tasks, cause),
      onVerified: () => this.#poke(),
    });
  }

  #makeSettler({ clock, reconnect, random, noticeFreeze, driver }: ConsumerOptions): Settler {
    return new Settler({
      clock,
      reconnect,
      random,
      beforeSettle: noticeFreeze,
      limit: driver.limits.settle,
      guard: (task) => this.#leases.guard(task),
      onSettled: (task) => this.#settled(task),
      onLost: (tasks, cause) => this.#lost(tasks, cause),
      onIdle: () => this.#changed(),
    });
  }

  #makeOutcomes(options: ConsumerOptions): Outcomes {
    const { settings, clock, random, observe, publisher, queue, name, contracts, driver } = options;
    return new Outcomes({
      settings,
      clock,
      random,
      observe,
      publisher,
      queue: { name, physicalName: queue.name, ordered: queue.ordered },
      topicOf: (type) => topicOf(contracts.get(type)),
      capabilities: driver.capabilities,
      settler: this.#settler,
      guard: (task) => this.#leases.guard(task),
      hold: (task, dueAt) => this.#admission.hold(task, dueAt),
      onIdle: () => this.#changed(),
    });
  }

  #makeRunner(options: ConsumerOptions): Runner {
    const { contracts, clock, observe, handlers, middleware, preparer, checkSend, name, settings } = options;
    return new Runner({
      contracts,
      clock,
      observe,
      handlers,
      middleware,
      preparer,
      checkSend,
      queue: name,
      timeoutMs: settings.timeoutMs,
      outcomes: this.#outcomes,
      onReturned: (task) => this.#returned(task),
      onAbandoned: (task) => this.#scheduler.done(task),
    });
  }

  #makeAdmission({ name, queue, settings, driver, clock, observe }: ConsumerOptions): Admission {
    return new Admission({
      name,
      clock,
      observe,
      ordered: queue.ordered,
      sharesQueue: !queue.ordered || driver.capabilities.ordering === 'key',
      window: settings.window,
      maxDeliveries: driver.capabilities.maxDeliveries,
      holding: this.#holding,
      scheduler: this.#scheduler,
      settler: this.#settler,
      outcomes: this.#outcomes,
    });
  }

  #makeReception({ name, clock, reconnect, random, observe, provision, driver }: ConsumerOptions): Reception {
    return new Reception({
      name,
      clock,
      reconnect,
      random,
      observe,
      provision,
      atMost: driver.limits.receive.count,
      subscribe: () => this.#subscribe(),
      room: (subscription) => this.#admission.room(subscription),
      arrive: (deliveries) => this.#arrive(deliveries),
    });
  }
}

function topicOf(contract: Contract | undefined): string | undefined {
  return contract !== undefined && 'topic' in contract ? String(contract.topic) : undefined;
}
