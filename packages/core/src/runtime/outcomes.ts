import type { Clock } from '../driver/clock.ts';
import type { Capabilities, OutgoingMessage } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { type Bookkeeping, type DeadReason, failureText } from '../failure/bookkeeping.ts';
import { copyOf } from '../failure/copies.ts';
import { type DeadLetterWay, deadBookkeeping, deadLetterWays, isTooLarge } from '../failure/dead-letter.ts';
import { judge } from '../failure/retry-schedule.ts';
import { isUnknown, UNKNOWN_DELAY_MS, waitForNewer } from '../failure/unknown.ts';
import type { ConsumeSettings } from './consume-options.ts';
import type { Observe, Outcome } from './observe.ts';
import { FINAL_FOR_COPY, FINAL_FOR_SEND, type Guard } from './entry.ts';
import type { Publisher } from './publisher.ts';
import type { Settler } from './settler.ts';
import type { Task } from './task.ts';

export interface OutcomesOptions {
  /** The queue as handlers and bookkeeping name it, and as the broker does. */
  readonly queue: { readonly name: string; readonly physicalName: string; readonly ordered: boolean };
  readonly topicOf: (type: string) => string | undefined;
  readonly settings: ConsumeSettings;
  readonly capabilities: Capabilities;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observe: Observe | undefined;
  readonly publisher: Publisher;
  readonly settler: Settler;
  readonly guard: (task: Task) => ReturnType<Guard>;
  /** Ordered: start it again then, and keep its successors waiting. */
  readonly hold: (task: Task, dueAt: number) => void;
  /** A copy or a send came to its end. */
  readonly onIdle: () => void;
}

/** Hears how an attempt ended. */
export interface Reporter {
  report(outcome: Outcome, error?: unknown): void;
}

interface Delay {
  readonly until: number;
  /** A foreign message has no room for the bookkeeping of a copy. */
  readonly tooLarge: () => void;
}

interface Death {
  readonly task: Task;
  readonly reason: DeadReason;
  readonly thrown: unknown;
}

interface Kept {
  readonly message: OutgoingMessage;
  readonly final: typeof FINAL_FOR_SEND;
  readonly done: (error: unknown) => void;
}

/** What becomes of a message: the one place that decides, and does it in an order that loses nothing. */
export class Outcomes {
  readonly #options: OutcomesOptions;
  #copies = 0;

  constructor(options: OutcomesOptions) {
    this.#options = options;
  }

  /** Copies and sends on their way. */
  get pending(): number {
    return this.#copies;
  }

  /** Ordered queues hold in the process; what waits for another queue is a delayed copy, which not every broker can store. */
  get #canWait(): boolean {
    const { queue, capabilities } = this.#options;
    return queue.ordered || capabilities.maxDelayMs > 0;
  }

  /** What the handler collected is stored first, then its delivery is accepted. */
  succeeded(task: Task, outgoing: readonly OutgoingMessage[], reporter: Reporter): void {
    task.ending = true;
    if (outgoing.length === 0) return this.#accept(task, reporter);
    let left = outgoing.length;
    let refused: unknown;
    const stored = (error: unknown): void => {
      refused ??= error;
      left -= 1;
      if (left > 0) return;
      if (refused === undefined) this.#accept(task, reporter);
      else reporter.report(this.failed(task, refused), refused);
    };
    for (const message of outgoing) this.#keep(task, { message, final: FINAL_FOR_SEND, done: stored });
  }

  #accept(task: Task, reporter: Reporter): void {
    reporter.report('accepted');
    // Until the broker has taken it, only the delivery is needed.
    task.message = undefined;
    this.#options.settler.accept(task);
  }

  /** The attempt failed: again later, or to the dead lane. Says which. */
  failed(task: Task, thrown: unknown): Outcome {
    const { settings, random } = this.#options;
    const verdict = judge(thrown, task.bookkeeping.attempt, settings.retry, random);
    if (verdict.kind === 'dead') return this.dead(task, verdict.reason, thrown);
    if (!this.#canWait) return this.dead(task, 'handler-failed', thrown);
    this.#retry(task, thrown, verdict.delayMs);
    return 'retried';
  }

  /** It can never be given to a handler here; a newer process may know it. */
  poisoned(task: Task, reason: DeadReason, error: unknown): void {
    if (!isUnknown(reason)) return void this.dead(task, reason, error);
    const { settings, clock, queue } = this.#options;
    if (queue.ordered) {
      const delay = settings.retry.delaysMs[task.bookkeeping.attempt - 1];
      if (delay === undefined) return void this.dead(task, reason, error);
      const dueAt = clock.now() + delay;
      this.#reportWait(task, dueAt);
      return this.#holdFor(task, this.#failedOnce(task, error), dueAt);
    }
    const now = clock.now();
    const waiting = this.#canWait ? waitForNewer(this.#bookkeeping(task), now, settings.unknownForMs) : undefined;
    if (waiting === undefined) this.dead(task, reason, error);
    else this.#hop(task, waiting, now + UNKNOWN_DELAY_MS);
  }

  /** Its time has not come: the next hop of a delay that is longer than the broker's. */
  early(task: Task, notBefore: number): void {
    const bookkeeping = this.#bookkeeping(task);
    this.#hop(task, { ...bookkeeping, hops: (bookkeeping.hops ?? 0) + 1 }, notBefore);
  }

  /** Accepted unhandled. */
  skipped(task: Task, reason: string): void {
    task.ending = true;
    this.#options.observe?.({ name: 'skipped', queue: this.#options.queue.name, type: task.type, id: task.id, reason });
    this.#options.settler.accept(task);
  }

  dead(task: Task, reason: DeadReason, thrown: unknown): Outcome {
    const { settings, queue, clock, capabilities } = this.#options;
    if (settings.skip.includes(reason)) {
      this.skipped(task, reason);
      return 'accepted';
    }
    task.ending = true;
    task.bookkeeping = this.#bookkeeping(task);
    const bookkeeping = deadBookkeeping(task, reason, thrown, clock.now());
    const ways = deadLetterWays(task, queue.physicalName, bookkeeping, capabilities.reject);
    this.#deadLetter({ task, reason, thrown }, ways);
    return 'dead-lettered';
  }

  #deadLetter(death: Death, [way, ...rest]: readonly DeadLetterWay[]): void {
    const { task, reason } = death;
    if (way === undefined || task.lost) return;
    if (way.kind === 'reject') {
      const { headers } = way;
      return this.#options.settler.reject(task, { reason, headers }, () => this.#reportDead(death));
    }
    const done = (error: unknown): void => {
      if (isTooLarge(error)) return this.#deadLetter(death, rest);
      if (error !== undefined) return;
      this.#reportDead(death);
      this.#options.settler.accept(task);
    };
    this.#keep(task, { message: way.message, final: FINAL_FOR_COPY, done });
  }

  #reportDead({ task, reason, thrown }: Death): void {
    const { observe, queue } = this.#options;
    const { attempt } = task.bookkeeping;
    observe?.({
      name: 'dead-lettered',
      queue: queue.name,
      type: task.type,
      id: task.id,
      attempt,
      reason,
      error: thrown,
    });
  }

  #retry(task: Task, thrown: unknown, delayMs: number): void {
    const { queue, clock, observe } = this.#options;
    const dueAt = clock.now() + delayMs;
    const next = this.#failedOnce(task, thrown);
    const { attempt: nextAttempt } = next;
    const { type, id } = task;
    observe?.({ name: 'retry-scheduled', queue: queue.name, type, id, nextAttempt, delayMs, error: thrown });
    if (queue.ordered) return this.#holdFor(task, next, dueAt);
    const { hops: _, unknownSince: __, ...fresh } = next;
    this.#delayed(task, fresh, { until: dueAt, tooLarge: () => this.dead(task, 'handler-failed', thrown) });
  }

  #holdFor(task: Task, bookkeeping: Bookkeeping, dueAt: number): void {
    task.bookkeeping = bookkeeping;
    task.ending = false;
    this.#options.hold(task, dueAt);
  }

  #failedOnce(task: Task, thrown: unknown): Bookkeeping {
    const bookkeeping = this.#bookkeeping(task);
    return {
      ...bookkeeping,
      attempt: bookkeeping.attempt + 1,
      firstFailedAt: bookkeeping.firstFailedAt ?? this.#options.clock.now(),
      error: failureText(thrown, false),
    };
  }

  #hop(task: Task, bookkeeping: Bookkeeping, until: number): void {
    this.#reportWait(task, until);
    const error = new WaybillError('TOO_LARGE', "It fills the broker's limit, so that its bookkeeping has no room.");
    this.#delayed(task, bookkeeping, { until, tooLarge: () => this.dead(task, 'undecodable', error) });
  }

  #reportWait({ type, id }: Task, until: number): void {
    this.#options.observe?.({ name: 'waits', queue: this.#options.queue.name, type, id, until });
  }

  /** Stores a copy for `until`, then accepts the original. Copies for unordered queues carry no key: any process may take them. */
  #delayed(task: Task, bookkeeping: Bookkeeping, { until, tooLarge }: Delay): void {
    task.ending = true;
    const { queue, clock, capabilities } = this.#options;
    const oneHop = until - clock.now() <= capabilities.maxDelayMs;
    const notBefore = oneHop ? until : clock.now() + capabilities.maxDelayMs;
    const { notBefore: _, ...rest } = bookkeeping;
    const kept: Bookkeeping = oneHop ? rest : { ...rest, notBefore: until };
    const target = { queue: queue.physicalName, lane: 'work' } as const;
    const key = queue.ordered ? (task.message?.metadata.key ?? task.delivery.key) : undefined;
    const done = (error: unknown): void => {
      if (error === undefined) this.#options.settler.accept(task);
      else if (isTooLarge(error)) tooLarge();
    };
    this.#keep(task, { message: copyOf(task, target, kept, { key, notBefore }), final: FINAL_FOR_COPY, done });
  }

  #keep(task: Task, { message, final, done }: Kept): void {
    this.#copies += 1;
    this.#options.publisher.keep(message, { final, guard: () => this.#options.guard(task) }, (error) => {
      this.#copies -= 1;
      if (!task.lost) done(error);
      this.#options.onIdle();
    });
  }

  #bookkeeping(task: Task): Bookkeeping {
    const topic = task.bookkeeping.topic ?? this.#options.topicOf(task.type);
    return topic === undefined ? task.bookkeeping : { ...task.bookkeeping, topic };
  }
}
