/** More polls than this bring no more from one queue to one process than its handlers and deletes can follow. */
const MOST_POLLS = 10;
/** While messages come: what one poll's answer is on its way for, the other takes. */
const FEWEST_POLLS = 2;

/** How many polls of one queue are worth having open, learned from how full their answers are. */
export class PollPace {
  readonly #most: number;
  #allowed = 1;

  constructor(most: number = MOST_POLLS) {
    this.#most = most;
  }

  /** One while the queue is idle. */
  get allowed(): number {
    return this.#allowed;
  }

  /** Full answers open more, partly filled ones fewer: so a call brings many. */
  answered(asked: number, brought: number): void {
    if (brought === 0) this.#allowed = 1;
    else if (brought >= asked) this.#allowed = Math.min(this.#allowed * 2, this.#most);
    else this.#allowed = Math.max(this.#allowed - 1, Math.min(FEWEST_POLLS, this.#most));
  }
}
