import { Alarm } from '../driver/alarm.ts';
import type { Clock } from '../driver/clock.ts';
import { Fifo } from './fifo.ts';
import type { Task } from './task.ts';

export interface SchedulerOptions {
  readonly clock: Clock;
  readonly concurrency: number;
  readonly start: (task: Task) => void;
  /** Called before some are started in one go. */
  readonly beforeStart: () => void;
  /** Asked right before: a process that was frozen may hold what others handled meanwhile. `wait` until {@link Scheduler.poke}. */
  readonly mayStart: (task: Task) => 'go' | 'wait' | 'drop';
}

/**
 * Decides which task runs next: one chain per key, `concurrency` slots over all of them. The head of a chain holds its
 * successors back until it is done, also while it waits for its next attempt; a wait takes no slot.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #ready = new Fifo<Task>();
  readonly #chains = new Map<string, Fifo<Task>>();
  readonly #held: Alarm<Task>;
  #doubted: Task[] = [];
  #running = 0;
  #stopped = false;
  #pumping = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#held = new Alarm((tasks) => this.#resume(tasks), options.clock);
  }

  /** Slots taken. */
  get running(): number {
    return this.#running;
  }

  /** Tasks that could run now if there were a slot. */
  get ready(): number {
    return this.#ready.size;
  }

  /** Whether one of that key is not done. */
  hasChain(key: string | undefined): boolean {
    return key !== undefined && this.#chains.has(key);
  }

  /** What waits for it: the rest of its chain. */
  behind(task: Task): readonly Task[] {
    const chain = task.chainKey === undefined ? [] : [...(this.#chains.get(task.chainKey) ?? [])];
    const place = chain.indexOf(task);
    return place < 0 ? [] : chain.slice(place + 1);
  }

  /** `dueAt`: not before then, and its chain waits for it. */
  add(task: Task, dueAt?: number): void {
    if (task.chainKey !== undefined) {
      const chain = this.#chains.get(task.chainKey);
      if (chain !== undefined) return chain.push(task);
      const started = new Fifo<Task>();
      started.push(task);
      this.#chains.set(task.chainKey, started);
    }
    if (dueAt !== undefined) return this.hold(task, dueAt);
    this.#ready.push(task);
    this.#pump();
  }

  /** What `add` adds starts once all of it is there. */
  together(add: () => void): void {
    const outer = this.#pumping;
    this.#pumping = true;
    try {
      add();
    } finally {
      this.#pumping = outer;
    }
    this.#pump();
  }

  /** Starts it again at `dueAt`; its chain waits. */
  hold(task: Task, dueAt: number): void {
    this.#held.set(dueAt, task);
  }

  /** Its handler returned: the slot is free. */
  freeSlot(): void {
    this.#running -= 1;
    this.#pump();
  }

  /** It is settled or lost, and not running: its successor is next. */
  done(task: Task): void {
    if (task.chainKey === undefined) return;
    const chain = this.#chains.get(task.chainKey);
    // A lost task in the middle of its chain is passed over when its turn comes.
    if (chain === undefined || chain.peek() !== task) return;
    do chain.shift();
    while (chain.peek()?.lost === true);
    const next = chain.peek();
    if (next === undefined) this.#chains.delete(task.chainKey);
    else {
      this.#ready.push(next);
      this.#pump();
    }
  }

  /** Starts nothing more until {@link resume}; what waits for its next attempt waits no more. */
  stop(): void {
    this.#stopped = true;
    this.#held.clear();
  }

  /** Forgets what was not started, and starts what is added from now on. */
  resume(): void {
    this.#ready.clear();
    this.#doubted = [];
    this.#held.clear();
    for (const [key, chain] of this.#chains) if (chain.peek()?.running !== true) this.#chains.delete(key);
    this.#stopped = false;
  }

  /** Asks again whether those may start that had to wait for an answer. */
  poke(): void {
    if (this.#doubted.length === 0) return;
    this.#resume(this.#doubted.splice(0));
  }

  #resume(tasks: readonly Task[]): void {
    for (const task of tasks) this.#ready.push(task);
    this.#pump();
  }

  // A handler that returns at once would otherwise start the next one from within.
  #pump(): void {
    if (this.#pumping || this.#ready.size === 0) return;
    this.#pumping = true;
    try {
      this.#options.beforeStart();
      while (!this.#stopped && this.#running < this.#options.concurrency) {
        const task = this.#ready.shift();
        if (task === undefined) break;
        const verdict = task.ending ? 'drop' : this.#options.mayStart(task);
        if (verdict === 'drop') this.done(task);
        if (verdict === 'wait') this.#doubted.push(task);
        if (verdict !== 'go') continue;
        this.#running += 1;
        this.#options.start(task);
      }
    } finally {
      this.#pumping = false;
    }
  }
}
