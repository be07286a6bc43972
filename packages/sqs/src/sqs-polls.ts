import { byDeadline } from '@waybill/core/driver';
import { MOST_ENTRIES } from './sqs-lanes.ts';
import type { PollPace } from './sqs-poll-pace.ts';

export interface PollsOptions<T> {
  /** One long poll for at most `max`; resolves with none when its time is over. */
  readonly poll: (max: number, signal: AbortSignal) => Promise<readonly T[]>;
  readonly pace: PollPace;
  /** Called for every answer, also an empty one, in the order in which answers come. */
  readonly onAnswer: (deliveries: readonly T[]) => void;
  readonly onFailure: (error: unknown) => void;
}

/** The open long polls of one queue. None is opened but by {@link SqsPolls.ask}, so none is where there is no room. */
export class SqsPolls<T> {
  readonly #options: PollsOptions<T>;
  readonly #open = new Map<AbortController, Promise<void>>();
  #asked = 0;
  #closed = false;

  constructor(options: PollsOptions<T>) {
    this.#options = options;
  }

  /** How many messages the open polls may bring. */
  get asked(): number {
    return this.#asked;
  }

  /** Opens polls for what may come beside what the open ones may bring. `full`: the last one asks for ten all the same. */
  ask(room: number, full: boolean): void {
    while (!this.#closed && this.#open.size < this.#options.pace.allowed) {
      const free = room - this.#asked;
      if (free <= 0) return;
      this.#start(full ? MOST_ENTRIES : Math.min(free, MOST_ENTRIES));
    }
  }

  /** Opens no more and waits for the open ones, whose answers still come. False: they were aborted, at the deadline. */
  async close(deadlineMs: number): Promise<boolean> {
    this.#closed = true;
    const ended = await byDeadline(deadlineMs, Promise.all(this.#open.values()));
    if (!ended) for (const controller of this.#open.keys()) controller.abort();
    return ended;
  }

  #start(max: number): void {
    // One for each: a signal that all polls shared would gather a listener of every request.
    const controller = new AbortController();
    this.#asked += max;
    this.#open.set(controller, this.#run(max, controller));
  }

  async #run(max: number, controller: AbortController): Promise<void> {
    const { poll, pace, onAnswer, onFailure } = this.#options;
    const end = (): void => {
      this.#asked -= max;
      this.#open.delete(controller);
    };
    try {
      const deliveries = await poll(max, controller.signal);
      end();
      pace.answered(max, deliveries.length);
      onAnswer(deliveries);
    } catch (error) {
      end();
      if (!controller.signal.aborted) onFailure(error);
    }
  }
}
