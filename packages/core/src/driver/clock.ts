/** Where the time comes from: the system's, or a test's own. */
export interface Clock {
  /** Epoch ms. */
  now(): number;
  /** Runs `run` once, not before `ms` have passed; returns what cancels it. Keeps no process alive. */
  after(ms: number, run: () => void): () => void;
}

/** `setTimeout` fires at once above this. */
const LONGEST_TIMER_MS = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    let timer: NodeJS.Timeout;
    const wait = (left: number): void => {
      const step = Math.min(Math.max(left, 0), LONGEST_TIMER_MS);
      timer = setTimeout(() => (left > step ? wait(left - step) : run()), step);
      timer.unref();
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
};
