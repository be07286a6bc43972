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

interface Delay {
  readonly until: number;
  /** A foreign message has no room for the bookkeeping of a copy. */
  readonly tooLarge: () => void;
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

  /** What the handler collected is stored first, then its delivery is accepted. */
  succeeded(task: Task, outgoing: readonly OutgoingMessage[]): void {
    task.ending = true;
    if (outgoing.length === 0) return this.#options.settler.accept(task);
    let left = outgoing.length;
    let refused: unknown;
    const stored = (error: unknown): void => {
      refused ??= error;
      left -= 1;
      if (left > 0) return;
      if (refused === undefined) this.#options.settler.accept(task);
      else this.failed(task, refused);
    };
    for (const message of outgoing) this.#keep(task, { message, final: FINAL_FOR_SEND, done: stored });
  }

  /** The attempt failed: again later, or to the dead lane. Says which. */
  failed(task: Task, thrown: unknown): Outcome {
    const { settings, random } = this.#options;
    const verdict = judge(thrown, task.bookkeeping.attempt, settings.retry, random);
    if (verdict.kind === 'dead') return this.dead(task, verdict.reason, thrown);
    this.#retry(task, thrown, verdict.delayMs);
    return 'retried';
  }

  /** It can never be given to a handler here; a newer process may know it. */
  poisoned(task: Task, reason: DeadReason, error: unknown): void {
    if (!isUnknown(reason)) return void this.dead(task, reason, error);
    const { settings, clock, queue } = this.#options;
    if (queue.ordered) {
      const delay = settings.retry.delaysMs[task.bookkeeping.attempt - 1];
      if (delay === undefined) this.dead(task, reason, error);
      else this.#retry(task, error, delay);
      return;
    }
    const now = clock.now();
    const waiting = waitForNewer(this.#bookkeeping(task), now, settings.unknownForMs);
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
    const { settings, queue, clock, capabilities, observe } = this.#options;
    if (settings.skip.includes(reason)) {
      this.skipped(task, reason);
      return 'accepted';
    }
    task.ending = true;
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
    task.bookkeeping = this.#bookkeeping(task);
    const bookkeeping = deadBookkeeping(task, reason, thrown, clock.now());
    this.#deadLetter(task, reason, deadLetterWays(task, queue.physicalName, bookkeeping, capabilities.reject));
    return 'dead-lettered';
  }

  #deadLetter(task: Task, reason: DeadReason, [way, ...rest]: readonly DeadLetterWay[]): void {
    if (way === undefined || task.lost) return;
    if (way.kind === 'reject') return this.#options.settler.reject(task, reason, way.headers);
    const done = (error: unknown): void => {
      if (error === undefined) this.#options.settler.accept(task);
      else if (isTooLarge(error)) this.#deadLetter(task, reason, rest);
    };
    this.#keep(task, { message: way.message, final: FINAL_FOR_COPY, done });
  }

  #retry(task: Task, thrown: unknown, delayMs: number): void {
    const { queue, clock, observe } = this.#options;
    const now = clock.now();
    const bookkeeping = this.#bookkeeping(task);
    const nextAttempt = bookkeeping.attempt + 1;
    const next = {
      ...bookkeeping,
      attempt: nextAttempt,
      firstFailedAt: bookkeeping.firstFailedAt ?? now,
      error: failureText(thrown, false),
    };
    observe?.({
      name: 'retry-scheduled',
      queue: queue.name,
      type: task.type,
      id: task.id,
      nextAttempt,
      delayMs,
      error: thrown,
    });
    if (queue.ordered) {
      task.bookkeeping = next;
      task.ending = false;
      return this.#options.hold(task, now + delayMs);
    }
    const { hops: _, unknownSince: __, ...fresh } = next;
    this.#delayed(task, fresh, { until: now + delayMs, tooLarge: () => this.dead(task, 'handler-failed', thrown) });
  }

  #hop(task: Task, bookkeeping: Bookkeeping, until: number): void {
    const { queue, observe } = this.#options;
    observe?.({ name: 'waits', queue: queue.name, type: task.type, id: task.id, until });
    const error = new WaybillError('TOO_LARGE', "It fills the broker's limit, so that its bookkeeping has no room.");
    this.#delayed(task, bookkeeping, { until, tooLarge: () => this.dead(task, 'undecodable', error) });
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
