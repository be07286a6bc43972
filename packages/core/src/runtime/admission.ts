import type { Awaitable } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import type { Subscription } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { CrashIsolation } from '../failure/crash-poison.ts';
import type { Holding } from './holding.ts';
import type { Observe } from './observe.ts';
import type { Outcomes } from './outcomes.ts';
import { Remembered } from './remembered.ts';
import type { Scheduler } from './scheduler.ts';
import type { Settler } from './settler.ts';
import type { Task } from './task.ts';

export interface AdmissionOptions {
  readonly name: string;
  readonly ordered: boolean;
  /** False: the broker hands the whole queue to one process, and to another once this one changes its window. */
  readonly sharesQueue: boolean;
  readonly window: number;
  readonly maxDeliveries: number;
  readonly clock: Clock;
  readonly observe: Observe | undefined;
  readonly holding: Holding;
  readonly scheduler: Scheduler;
  readonly settler: Settler;
  readonly outcomes: Outcomes;
}

/** A copy or a letter that the broker does not take for this long no longer keeps the only place of an isolation. */
const STALLED_MS = 1_000;

/** What is decided and waits for the broker to take its settlement keeps no place from others, up to so many windows. */
const SETTLING_WINDOWS = 2;

/** So long without a suspect, nothing kills processes: slow handlers would otherwise run one by one for ever. */
const CLEARED_AFTER_MS = 30_000;

/** How many deliveries may be held, and which of them may run: the window, and isolation when something kills processes. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #isolation: CrashIsolation;
  /** How many were parked when the window was last set. */
  #widened = 0;
  #suspects: readonly Task[] = [];
  #isolating = false;
  /** When the last suspect was met, or the consumer was made. */
  #suspectAt: number;
  #stalledSince: number | undefined;
  /** In isolation: harmless ones that wait for their next attempt, and keep the only place from nobody. */
  readonly #parked = new Set<Task>();
  readonly #remembered: Remembered;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#isolation = new CrashIsolation(options.maxDeliveries);
    this.#suspectAt = options.clock.now();
    this.#remembered = new Remembered(options.clock, options.window);
  }

  /** Deliveries that the broker may hand out at most. */
  get window(): number {
    return this.#isolation.isolated ? 1 + this.#aside : this.#options.window;
  }

  /** How many may be received now. */
  room(subscription: Subscription): Awaitable<number> {
    const { holding, sharesQueue } = this.#options;
    const free = sharesQueue || holding.size === 0;
    const cleared = free && this.#isolation.cleared && !this.#isolating;
    if (this.#stalled || cleared) return this.#open(subscription);
    if (this.#isolating && !this.#stuck) return holding.size > 0 ? 0 : this.#isolate(subscription);
    const widen = this.#isolation.isolated && this.#aside !== this.#widened;
    return widen ? this.#widen(subscription) : this.#room;
  }

  /** A broker whose answers take time would otherwise set the pace of fast handlers. */
  get #room(): number {
    const { holding, ordered, settler } = this.#options;
    const settling = ordered || this.#isolation.isolated ? 0 : settler.settling;
    return this.window + Math.min(settling, SETTLING_WINDOWS * this.window) - holding.size;
  }

  /** Called every now and then; whether {@link room} should be asked again. */
  tick(): boolean {
    const { clock, scheduler } = this.#options;
    const stalls = this.#unstored > 0 && (scheduler.running === 0 || this.#stuck);
    this.#stalledSince = stalls ? (this.#stalledSince ?? clock.now()) : undefined;
    const quiet = this.#isolation.isolated && !this.#isolating && this.#suspectAt + CLEARED_AFTER_MS <= clock.now();
    if (quiet) this.#isolation.clear();
    return this.#stalled || quiet || this.#stuck;
  }

  /** Runs what arrived and is held, or does with it what must be done instead. */
  take(task: Task): void {
    // A place was free: what kept the only one of an isolation has come to its end.
    if (!this.#isolating) this.#stalledSince = undefined;
    const suspicion = this.#isolation.judge(task.delivery.deliveries, this.#options.holding.size - 1 - this.#aside);
    if (!this.#isolation.isHarmless(task.delivery.deliveries)) this.#suspectAt = this.#options.clock.now();
    if (suspicion === 'isolate') this.#suspect(task);
    else if (suspicion === 'crash-loop') this.#crashLoop(task);
    else this.#admit(task);
  }

  /**
   * Ordered: it waits for its next attempt, and other keys go on. In isolation it would keep the only place from them. It
   * harmed nothing: so it waits beside the place, and where changing the window may hand the queue to another process, the
   * consumer opens, and gives it back first, so that order holds.
   */
  hold(task: Task, dueAt: number): void {
    const { scheduler, sharesQueue } = this.#options;
    const harmless = this.#isolation.isHarmless(task.delivery.deliveries);
    task.dueAt = dueAt;
    if (!sharesQueue && harmless && this.#isolation.isolated && !this.#isolating) {
      this.#isolation.clear();
      return this.release(task);
    }
    this.#park(task);
    scheduler.hold(task, dueAt);
  }

  /** On the way into isolation: once nothing else is left to do, what remains goes back to the broker. */
  drain(busy: boolean): void {
    const { ordered, holding } = this.#options;
    if (!this.#isolating || this.#suspects.length === 0) return;
    if (ordered ? busy : holding.size > this.#suspects.length) return;
    for (const task of ordered ? holding.tasks : this.#suspects) this.release(task);
    this.#suspects = [];
  }

  /**
   * Lost deliveries are suspects no longer. The broker hands them out again: their successors, though still ours, would
   * overtake them here, and go back.
   */
  forget(lost: readonly Task[]): void {
    const { scheduler } = this.#options;
    this.#suspects = this.#suspects.filter((task) => !task.lost);
    for (const task of lost.flatMap((each) => scheduler.behind(each)))
      if (!task.lost && !task.ending) this.release(task);
  }

  release(task: Task): void {
    task.ending = true;
    this.#remembered.add(task);
    this.#options.settler.release(task);
  }

  /** Held until the broker takes their copies or letters. */
  get #unstored(): number {
    const { outcomes, settler } = this.#options;
    return outcomes.pending + settler.rejects;
  }

  /** Good messages flow while the copies of others cannot be stored. */
  get #stalled(): boolean {
    return !this.#isolating && this.#isolation.isolated && this.#stalls;
  }

  /** The way into an isolation is held up until an outage is over: suspects wait for that, and others run meanwhile. */
  get #stuck(): boolean {
    return this.#isolating && this.#stalls;
  }

  get #stalls(): boolean {
    const { clock, ordered } = this.#options;
    return !ordered && this.#stalledSince !== undefined && this.#stalledSince + STALLED_MS <= clock.now();
  }

  async #open(subscription: Subscription): Promise<number> {
    await subscription.resize(this.#options.window);
    this.#isolation.open();
    this.#parked.clear();
    return this.#room;
  }

  /** Those that are parked count towards the broker's window, too. */
  async #widen(subscription: Subscription): Promise<number> {
    this.#widened = this.#aside;
    await subscription.resize(this.window);
    return this.#room;
  }

  async #isolate(subscription: Subscription): Promise<number> {
    await subscription.resize(1);
    this.#widened = 0;
    this.#isolating = false;
    this.#stalledSince = undefined;
    this.#isolation.isolate();
    this.#options.scheduler.resume();
    return this.#room;
  }

  #admit(task: Task): void {
    const { clock, outcomes } = this.#options;
    const { notBefore } = task.bookkeeping;
    if (notBefore !== undefined && notBefore > clock.now()) outcomes.early(task, notBefore);
    else if (task.unbound) outcomes.skipped(task, 'unbound-type');
    else this.#schedule(task);
  }

  #schedule(task: Task): void {
    const { scheduler } = this.#options;
    this.#remembered.restore(task);
    // Behind a parked one of its key it only waits.
    if (scheduler.hasChain(task.chainKey)) this.#park(task);
    scheduler.add(task, task.dueAt);
  }

  /** Where it may wait beside the only place of an isolation, it does. */
  #park(task: Task): void {
    const { sharesQueue, ordered, window } = this.#options;
    const calm = this.#isolation.isolated && !this.#isolating && this.#isolation.isHarmless(task.delivery.deliveries);
    if (!calm || !ordered || !sharesQueue || this.#aside + 1 >= window) return;
    this.#parked.add(task);
  }

  /** How many are parked, without those that are settled or lost by now. */
  get #aside(): number {
    for (const task of this.#parked) if (!this.#options.holding.tasks.has(task)) this.#parked.delete(task);
    return this.#parked.size;
  }

  #suspect(task: Task): void {
    const { observe, name, ordered, scheduler } = this.#options;
    this.#suspects = [...this.#suspects, task];
    if (this.#isolating) return;
    this.#isolating = true;
    observe?.({ name: 'isolated', queue: name, deliveries: task.delivery.deliveries });
    // Order would not survive that some of what is held goes on and some goes back.
    if (ordered) scheduler.stop();
  }

  #crashLoop(task: Task): void {
    const times = `It was handed out ${task.delivery.deliveries} times, at last alone`;
    const error = new WaybillError('UNKNOWN', `${times}, and no attempt came to an end: it may kill the process.`);
    this.#options.outcomes.dead(task, 'crash-loop', error);
  }
}
