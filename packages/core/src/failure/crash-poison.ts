/** A delivery handed out this often may have killed processes. */
const SUSPECT_FROM = 3;
/** Handed out more often than this while held alone, it is dead-lettered unrun. */
const CRASH_LIMIT = 10;
/** Deliveries in a row below {@link SUSPECT_FROM} that end an isolation. */
const CLEARED_AFTER = 20;

export type Suspicion = 'run' | 'isolate' | 'crash-loop';

/**
 * Finds the message that kills the process without condemning those that were held beside it: the broker charges all of
 * them for a crash. So a consumer starts isolated, with one delivery at a time; once enough were harmless it opens, and
 * goes back into isolation when it meets a suspect. Only a suspect held alone is judged.
 */
export class CrashIsolation {
  readonly #limit: number;
  #isolated = true;
  #harmless = 0;

  constructor(maxDeliveries: number) {
    this.#limit = Math.min(CRASH_LIMIT, maxDeliveries - 1);
  }

  get isolated(): boolean {
    return this.#isolated;
  }

  /** Whether enough were harmless; the caller opens with {@link open} once it holds nothing. */
  get cleared(): boolean {
    return this.#isolated && this.#harmless >= CLEARED_AFTER;
  }

  isHarmless(deliveries: number): boolean {
    return deliveries < SUSPECT_FROM;
  }

  /** Enough is known already. */
  clear(): void {
    this.#harmless = CLEARED_AFTER;
  }

  open(): void {
    this.#isolated = false;
  }

  /** From now on until it is cleared again, the caller holds one delivery at a time. */
  isolate(): void {
    this.#isolated = true;
    this.#harmless = 0;
  }

  /** What to do with a delivery that arrives while `held` others are held. */
  judge(deliveries: number, held: number): Suspicion {
    if (deliveries < SUSPECT_FROM) {
      this.#harmless += 1;
      return 'run';
    }
    this.#harmless = 0;
    if (!this.#isolated || held > 0) return 'isolate';
    return deliveries > this.#limit ? 'crash-loop' : 'run';
  }
}
