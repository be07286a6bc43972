import type { Clock } from '../driver/clock.ts';
import type { Subscription } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { settledBy } from '../failure/close.ts';
import type { Task } from './task.ts';

/** A lease that ran out and was not renewed for this long is lost, whatever the broker would say. */
const GIVE_UP_MS = 3_000;
/** A broker that has not answered by then is asked again. */
const ANSWER_WITHIN_MS = 10_000;

export interface LeasesOptions {
  readonly clock: Clock;
  readonly batch: number;
  readonly held: Iterable<Task>;
  readonly onLost: (tasks: readonly Task[], cause: WaybillError) => void;
  /** Something that waited for an answer may go on. */
  readonly onVerified: () => void;
}

/** Keeps everything that is held, running or not, and finds out what is no longer ours. */
export class Leases {
  readonly #options: LeasesOptions;
  #subscription: Subscription | undefined;
  #asking = false;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  use(subscription: Subscription): void {
    this.#subscription = subscription;
  }

  /** Whether an outcome of this task may go to the broker now. A lease that ran out is asked for first. */
  guard(task: Task): 'go' | 'wait' | 'drop' {
    if (task.lost) return 'drop';
    if (!task.unverified && (isEndless(task) || task.leaseUntil > this.#options.clock.now())) return 'go';
    task.unverified = true;
    this.#ask();
    return 'wait';
  }

  /** After a freeze: nothing that is held now is settled or copied before the broker said that it is still ours. */
  doubtAll(): void {
    for (const task of this.#options.held) task.unverified = true;
    this.#ask();
  }

  /** Called every now and then: renews leases past their half, gives up those that ran out. */
  tick(): void {
    const now = this.#options.clock.now();
    const expired: Task[] = [];
    let due = false;
    for (const task of this.#options.held) {
      if (task.leaseUntil + GIVE_UP_MS <= now) expired.push(task);
      else if (task.unverified || isDue(task, now)) due = true;
    }
    if (expired.length > 0) {
      this.#options.onLost(expired, new WaybillError('LEASE_LOST', 'The lease ran out and could not be renewed.'));
      this.#letGo(expired);
    }
    if (due) this.#ask();
  }

  /** A broker that takes them for ours all the same would keep them from everyone, and hand out what is behind them. */
  #letGo(tasks: readonly Task[]): void {
    const { batch } = this.#options;
    for (let start = 0; start < tasks.length; start += batch) {
      const part = tasks.slice(start, start + batch).map(({ delivery }) => ({ delivery, action: 'release' }) as const);
      // Whoever is not told, or knows better, hands them out when their leases have run out there.
      this.#subscription?.settle(part).catch(() => undefined);
    }
  }

  #ask(): void {
    const subscription = this.#subscription;
    if (this.#asking || subscription === undefined) return;
    this.#asking = true;
    // A microtask later, so that everything doubted in this turn is asked about.
    queueMicrotask(() => {
      void this.#extend(subscription).then((answered) => {
        this.#asking = false;
        if (answered) this.#options.onVerified();
      });
    });
  }

  async #extend(subscription: Subscription): Promise<boolean> {
    const now = this.#options.clock.now();
    const tasks = [...this.#options.held].filter((task) => task.unverified || isDue(task, now));
    for (let start = 0; start < tasks.length; start += this.#options.batch) {
      const part = tasks.slice(start, start + this.#options.batch);
      try {
        const asked = subscription.extend(part.map((task) => task.delivery));
        if (!(await settledBy(this.#options.clock, now + ANSWER_WITHIN_MS, asked))) return false;
        this.#answered(part, await asked);
      } catch {
        // Not answered: what is doubted stays so, and the next tick asks again until the leases have run out.
        return false;
      }
    }
    return true;
  }

  #answered(tasks: readonly Task[], leases: readonly number[]): void {
    const lost: Task[] = [];
    for (const [index, task] of tasks.entries()) {
      const leaseUntil = leases[index] ?? 0;
      task.leaseUntil = leaseUntil;
      task.unverified = false;
      if (leaseUntil === 0 && !task.lost) lost.push(task);
    }
    if (lost.length === 0) return;
    this.#options.onLost(lost, new WaybillError('LEASE_LOST', 'The broker handed it to another process.'));
  }
}

/** Looked at first: the time is asked for with every message. */
function isEndless({ leaseUntil }: Task): boolean {
  return leaseUntil === Number.POSITIVE_INFINITY;
}

function isDue(task: Task, now: number): boolean {
  return !isEndless(task) && task.leaseUntil - now < task.leaseMs / 2;
}
