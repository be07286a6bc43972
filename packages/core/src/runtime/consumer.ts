import type { Clock } from '../driver/clock.ts';
import type { Delivery, Driver, Queue, Subscription } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import type { Contract } from '../contract/contract.ts';
import { type CloseTimes, settledBy } from '../failure/close.ts';
import { CrashIsolation } from '../failure/crash-poison.ts';
import { type Reconnect, backoffMs } from './backoff.ts';
import type { ConsumeSettings } from './consume-options.ts';
import type { AnyHandler, CheckSend } from './handler-context.ts';
import { readDeliveries } from './intake.ts';
import { Leases } from './leases.ts';
import { type Codec, type HandleScope } from './middleware.ts';
import type { ConsumerStatus, Observe } from './observe.ts';
import { Outcomes } from './outcomes.ts';
import type { Preparer } from './prepare.ts';
import type { Publisher } from './publisher.ts';
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
  readonly beforeSettle: () => void;
  /** Makes sure that the topology is there. Rejects while it is not. */
  readonly provision: (signal: AbortSignal, again: boolean) => Promise<void>;
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

/** A receive that waits this long after a failure has a connection again. */
const SETTLED_AFTER_MS = 2_000;

/** The pull loop of one consumer: asks for what it has room for, and owns what it holds until that is settled or lost. */
export class QueueConsumer {
  readonly #options: ConsumerOptions;
  readonly #held = new Set<Task>();
  readonly #byDelivery = new Map<Delivery, Task>();
  readonly #isolation: CrashIsolation;
  readonly #scheduler: Scheduler;
  readonly #settler: Settler;
  readonly #leases: Leases;
  readonly #outcomes: Outcomes;
  readonly #runner: Runner;
  readonly #stop = new AbortController();
  #subscription: Subscription | undefined;
  #suspects: Task[] = [];
  #isolating = false;
  #status: ConsumerStatus = 'starting';
  #error: WaybillError | undefined;
  #failures = 0;
  #receivingSince = Number.POSITIVE_INFINITY;
  #wake: (() => void) | undefined;
  #loop: Promise<void> | undefined;
  #started: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  constructor(options: ConsumerOptions) {
    const { clock, settings, driver, queue, name, contracts, reconnect, random, observe } = options;
    this.#options = options;
    this.#isolation = new CrashIsolation(driver.capabilities.maxDeliveries);
    this.#scheduler = new Scheduler(clock, settings.concurrency, (task) => this.#runner.start(task));
    const onLost = (tasks: readonly Task[], cause: WaybillError): void => this.#lost(tasks, cause);
    this.#leases = new Leases({
      clock,
      batch: driver.limits.settle.count,
      held: this.#held,
      onLost,
      onVerified: () => this.#poke(),
    });
    const guard = (task: Task): 'go' | 'wait' | 'drop' => this.#leases.guard(task);
    this.#settler = new Settler({
      limit: driver.limits.settle, clock, reconnect, random, guard, onLost,
      beforeSettle: options.beforeSettle,
      onSettled: (task) => this.#settled(task),
    });
    this.#outcomes = new Outcomes({
      queue: { name, physicalName: queue.name, ordered: queue.ordered },
      topicOf: (type) => topicOf(contracts.get(type)),
      capabilities: driver.capabilities,
      publisher: options.publisher,
      settler: this.#settler,
      hold: (task, dueAt) => this.#scheduler.hold(task, dueAt),
      settings, clock, random, observe, guard,
    });
    this.#runner = new Runner({
      queue: name, contracts, clock, observe,
      handlers: options.handlers,
      middleware: options.middleware,
      preparer: options.preparer,
      checkSend: options.checkSend,
      timeoutMs: settings.timeoutMs,
      outcomes: this.#outcomes,
      onReturned: (task) => this.#returned(task),
      onAbandoned: (task) => this.#scheduler.done(task),
    });
  }

  /** Resolves once messages sent from now on would arrive; waits for a broker that is down. */
  start(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        reject(signal?.reason as Error);
        void this.close({ abortAt: 0, deadlineMs: this.#options.clock.now() + 1_000 });
      };
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      const off = (): void => signal?.removeEventListener('abort', onAbort);
      this.#started = {
        resolve: () => (off(), resolve()),
        reject: (error) => (off(), reject(error)),
      };
      this.#loop = this.#run();
    });
  }

  health(): ConsumerHealth {
    const health = { queue: this.#options.name, status: this.#status, held: this.#held.size, running: this.#scheduler.running };
    return this.#error === undefined ? health : { ...health, error: this.#error };
  }

  /** Called every now and then: leases, and whether anything moves. */
  tick(): void {
    this.#leases.tick();
    const { settings, queue, clock } = this.#options;
    const receiving = this.#receivingSince + SETTLED_AFTER_MS <= clock.now();
    if (this.#status === 'starting' || (this.#status === 'down' && !receiving)) return;
    const jammed = queue.ordered && this.#held.size >= settings.window && this.#scheduler.running === 0;
    this.#become(jammed ? 'degraded' : 'up');
  }

  /** This process was frozen: what it holds may be somebody else's by now. */
  doubtAll(): void {
    this.#leases.doubtAll();
  }

  /**
   * Stops receiving, gives back what was not started, lets handlers run until `abortAt`, settles, and ends by
   * `deadlineMs`. Never rejects.
   */
  async close(times: CloseTimes): Promise<void> {
    if (this.#status === 'closed') return this.#loop;
    this.#become('closed');
    const { clock, queue } = this.#options;
    this.#stop.abort();
    this.#started?.reject(new WaybillError('CLOSED', `The consumer of "${this.#options.name}" was closed.`));
    this.#scheduler.stop();
    this.#runner.close();
    this.#wake?.();
    // On an ordered queue successors stay here until their predecessors are settled: another process would overtake them.
    if (!queue.ordered) await this.#giveBack(times.deadlineMs);
    if (!(await settledBy(clock, times.abortAt, this.#quiet()))) {
      const reason = new WaybillError('CLOSED', 'The consumer is closing and its time for handlers is up.');
      for (const task of this.#held) if (task.running) task.abort(reason);
      await settledBy(clock, times.deadlineMs - 500, this.#quiet());
    }
    await settledBy(clock, times.deadlineMs, this.#subscription?.close(times.deadlineMs) ?? Promise.resolve());
    this.#runner.stop();
    for (const task of this.#held) task.lost = true;
    this.#held.clear();
    this.#byDelivery.clear();
  }

  async #giveBack(deadlineMs: number): Promise<void> {
    const { clock } = this.#options;
    await settledBy(clock, Math.min(deadlineMs, clock.now() + 1_000), this.#subscription?.resize(0) ?? Promise.resolve());
    for (const task of this.#held) if (!task.running && !task.ending) this.#release(task);
  }

  /** Resolves once no handler runs and everything decided is settled. */
  async #quiet(): Promise<void> {
    while (this.#scheduler.running > 0 || this.#outcomes.pending > 0 || this.#settler.size > 0) await this.#changed();
  }

  async #run(): Promise<void> {
    const { reconnect, random, clock } = this.#options;
    let again = false;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#options.provision(this.#stop.signal, again);
        await this.#subscribe();
        await this.#receiveAll();
      } catch (error) {
        const cause = WaybillError.is(error) ? error : new WaybillError('UNKNOWN', `Receiving failed: ${String(error)}`, { cause: error });
        if (this.#stop.signal.aborted) return;
        again = cause.code === 'NOT_FOUND';
        if (this.#started !== undefined && !cause.retryable && cause.code !== 'UNKNOWN') return this.#refuse(cause);
        this.#failures += 1;
        this.#receivingSince = Number.POSITIVE_INFINITY;
        this.#become('down', cause);
        await pause(clock, backoffMs(this.#failures, reconnect, random), this.#stop.signal);
      }
    }
  }

  /** What cannot get better by itself ends the start. */
  #refuse(cause: WaybillError): void {
    this.#started?.reject(cause);
    this.#started = undefined;
    this.#become('closed', cause);
  }

  async #subscribe(): Promise<void> {
    const { driver, queue, settings } = this.#options;
    if (this.#subscription === undefined) {
      const maxInFlight = this.#isolation.isolated ? 1 : settings.window;
      const subscription = await driver.subscribe(queue, 'work', {
        maxInFlight,
        onLost: (deliveries, cause) => this.#lost(this.#tasksOf(deliveries), cause),
      });
      this.#subscription = subscription;
      this.#settler.use(subscription);
      this.#leases.use(subscription);
      this.#become('up');
    }
    this.#started?.resolve();
    this.#started = undefined;
  }

  async #receiveAll(): Promise<void> {
    const subscription = this.#subscription as Subscription;
    const { settings, driver } = this.#options;
    while (!this.#stop.signal.aborted) {
      if (this.#held.size === 0) await this.#resize(subscription);
      const room = (this.#isolation.isolated ? 1 : settings.window) - this.#held.size;
      if (room <= 0 || this.#isolating) {
        await this.#changed();
        continue;
      }
      this.#receivingSince = this.#options.clock.now();
      const deliveries = await subscription.receive(Math.min(room, driver.limits.receive.count), this.#stop.signal);
      this.#failures = 0;
      if (this.#status === 'down') this.#become('up');
      if (deliveries.length > 0) await this.#arrive(deliveries);
    }
  }

  /** Into isolation or out of it, while nothing is held. */
  async #resize(subscription: Subscription): Promise<void> {
    if (this.#isolating) {
      await subscription.resize(1);
      this.#isolating = false;
      this.#isolation.isolate();
      this.#scheduler.resume();
    } else if (this.#isolation.cleared) {
      await subscription.resize(this.#options.settings.window);
      this.#isolation.open();
    }
  }

  #arrive(deliveries: readonly Delivery[]): void | PromiseLike<void> {
    const { name, queue, contracts, codec, clock } = this.#options;
    const tasks = readDeliveries({ queue: name, ordered: queue.ordered, contracts, codec }, deliveries, clock.now());
    if ('then' in tasks) return tasks.then((later) => this.#take(later));
    this.#take(tasks as readonly Task[]);
  }

  #take(tasks: readonly Task[]): void {
    for (const task of tasks) {
      const suspicion = this.#isolation.judge(task.delivery.deliveries, this.#held.size);
      this.#held.add(task);
      this.#byDelivery.set(task.delivery, task);
      if (this.#stop.signal.aborted) this.#release(task);
      else if (suspicion === 'isolate') this.#suspect(task);
      else if (suspicion === 'crash-loop') this.#crashLoop(task);
      else this.#admit(task);
    }
    if (this.#isolating) this.#drain();
  }

  #admit(task: Task): void {
    const { clock, driver, handlers } = this.#options;
    const { notBefore } = task.bookkeeping;
    if (notBefore !== undefined && notBefore > clock.now()) {
      task.ending = true;
      return this.#outcomes.early(task, notBefore);
    }
    // A first delivery of a type that is not bound comes from a broker without filters. A copy was ours once.
    if (!driver.capabilities.filtersTypes && task.poison?.reason === 'unknown-type' && task.bookkeeping.attempt === 1 && !(task.type in handlers)) {
      task.ending = true;
      return this.#outcomes.skipped(task, 'unbound-type');
    }
    this.#scheduler.add(task);
  }

  #suspect(task: Task): void {
    this.#suspects.push(task);
    if (this.#isolating) return;
    this.#isolating = true;
    this.#options.observe?.({ name: 'isolated', queue: this.#options.name, deliveries: task.delivery.deliveries });
    // Order would not survive that some of what is held goes on and some goes back.
    if (this.#options.queue.ordered) this.#scheduler.stop();
  }

  /** While isolation is wanted: once nothing else is left to do, what remains goes back to the broker. */
  #drain(): void {
    if (!this.#isolating) return;
    if (this.#options.queue.ordered) {
      if (this.#scheduler.running > 0 || this.#outcomes.pending > 0 || this.#settler.size > 0) return;
      for (const task of this.#held) this.#release(task);
    } else if (this.#held.size === this.#suspects.length) {
      for (const task of this.#suspects) this.#release(task);
    } else return;
    this.#suspects = [];
  }

  #crashLoop(task: Task): void {
    task.ending = true;
    const { deliveries } = task.delivery;
    const error = new WaybillError('UNKNOWN', `It was handed out ${deliveries} times, the last ones alone, and no attempt came to an end: it may kill the process.`);
    this.#outcomes.dead(task, 'crash-loop', error);
  }

  #release(task: Task): void {
    task.ending = true;
    this.#settler.release(task);
  }

  /** Its handler returned; what becomes of it is decided. */
  #returned(task: Task): void {
    if (task.lost) this.#scheduler.done(task);
    this.#scheduler.freeSlot();
    this.#notify();
  }

  #settled(task: Task): void {
    this.#forget(task);
    this.#scheduler.done(task);
    this.#notify();
  }

  #lost(tasks: readonly Task[], cause: WaybillError): void {
    let count = 0;
    for (const task of tasks) {
      if (task.lost || !this.#held.has(task)) continue;
      count += 1;
      task.lost = true;
      this.#forget(task);
      if (task.running) task.abort(cause);
      else this.#scheduler.done(task);
    }
    if (count === 0) return;
    this.#suspects = this.#suspects.filter((task) => !task.lost);
    this.#options.observe?.({ name: 'lease-lost', queue: this.#options.name, count, error: cause });
    this.#poke();
    this.#notify();
  }

  #forget(task: Task): void {
    this.#held.delete(task);
    this.#byDelivery.delete(task.delivery);
  }

  #tasksOf(deliveries: readonly Delivery[]): readonly Task[] {
    return deliveries.flatMap((delivery) => this.#byDelivery.get(delivery) ?? []);
  }

  #poke(): void {
    this.#settler.poke();
    this.#options.publisher.poke();
  }

  #become(status: ConsumerStatus, error?: WaybillError): void {
    if (status !== 'closed' && this.#status === 'closed') return;
    this.#error = error;
    if (this.#status === status && error === undefined) return;
    this.#status = status;
    this.#options.observe?.({ name: 'consumer', queue: this.#options.name, status, ...(error === undefined ? {} : { error }) });
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => {
      const earlier = this.#wake;
      this.#wake = () => {
        earlier?.();
        resolve();
      };
    });
  }

  #notify(): void {
    if (this.#isolating) this.#drain();
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

function topicOf(contract: Contract | undefined): string | undefined {
  return contract !== undefined && 'topic' in contract ? String(contract.topic) : undefined;
}

function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal.addEventListener('abort', done, { once: true });
  });
}
