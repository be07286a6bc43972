import { byDeadline } from '@waybill/core/driver';
import { MOST_ENTRIES } from './sqs-lanes.ts';
import type { PollPace } from './sqs-poll-pace.ts';

export interface PollsOptions<T> {
  /** One long poll for at most `max`; resolves with none when its time is over. */
  readonly poll: (max: number) => Promise<readonly T[]>;
  readonly pace: PollPace;
  /** Called for every answer, also an empty one, in the order in which answers come. */
  readonly onAnswer: (deliveries: readonly T[]) => void;
  readonly onFailure: (error: unknown) => void;
}

/** The open long polls of one queue. None is opened but by {@link SqsPolls.ask}, so none is where there is no room. */
export class SqsPolls<T> {
  readonly #options: PollsOptions<T>;
  readonly #open = new Map<number, Promise<void>>();
  #opened = 0;
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

  /**
   * Opens no more and waits for the open ones, whose answers still come. False: at the deadline some are open, and are
   * left so. SQS serves a poll that is given up to its end, and what it takes then could not be given back.
   */
  async close(deadlineMs: number): Promise<boolean> {
    this.#closed = true;
    return byDeadline(deadlineMs, Promise.all(this.#open.values()));
  }

  #start(max: number): void {
    const id = this.#opened++;
    this.#asked += max;
    this.#open.set(id, this.#run(max, id));
  }

  async #run(max: number, id: number): Promise<void> {
    const { poll, pace, onAnswer, onFailure } = this.#options;
    const end = (): void => {
      this.#asked -= max;
      this.#open.delete(id);
    };
    try {
      const deliveries = await poll(max);
      end();
      pace.answered(max, deliveries.length);
      onAnswer(deliveries);
    } catch (error) {
      end();
      if (!this.#closed) onFailure(error);
    }
  }
}
