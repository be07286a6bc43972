import { performance } from 'node:perf_hooks';

const TICK_MS = 500;
/** A process that ran nothing for this long may have been frozen (SIGSTOP, a laptop lid, a long pause of the host). */
const FROZEN_AFTER_MS = 2_500;

/**
 * Notices that this process was frozen, before anything that it then held is settled or copied: `check` is called first.
 * It measures the system's monotonic clock, not a test's.
 */
export class FreezeWatch {
  readonly #onTick: () => void;
  readonly #onFreeze: (frozenMs: number) => void;
  readonly #timer: NodeJS.Timeout;
  #last = performance.now();

  constructor(onTick: () => void, onFreeze: (frozenMs: number) => void) {
    this.#onTick = onTick;
    this.#onFreeze = onFreeze;
    this.#timer = setInterval(() => {
      this.check();
      this.#onTick();
    }, TICK_MS);
    this.#timer.unref();
  }

  /** Says so when the gap since the last call or tick was too long. */
  check(): void {
    const now = performance.now();
    const gap = now - this.#last;
    this.#last = now;
    if (gap > FROZEN_AFTER_MS) this.#onFreeze(gap);
  }

  /** While something waits, the process stays alive. */
  keepAlive(needed: boolean): void {
    if (needed) this.#timer.ref();
    else this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
