/** A delivery handed out this often may have killed processes. */
const SUSPECT_FROM = 3;
/** Up to this often it may as well have been lost with connections, where others like it came to their end alone. */
const TRUSTED_TO = 5;
/** Handed out more often than this while held alone, it is dead-lettered unrun. */
const CRASH_LIMIT = 10;
/** Harmless deliveries in a row that end an isolation. */
const CLEARED_AFTER = 20;

export type Suspicion = 'run' | 'isolate' | 'crash-loop';

/**
 * Finds the message that kills the process without condemning those that were held beside it: the broker charges all of
 * them for a crash. So a consumer starts isolated, with one delivery at a time; once enough were harmless it opens, and
 * goes back into isolation when it meets a suspect. Only a suspect held alone is judged.
 *
 * The broker charges what is held for a lost connection, too, and all of it is suspect after two. Suspects that came to
 * their end alone are harmless, and vouch for those that were not handed out much oftener.
 */
export class CrashIsolation {
  readonly #limit: number;
  /** Deliveries handed out up to this often are harmless to this process. */
  #harmlessTo = SUSPECT_FROM - 1;
  readonly #trustedTo: number;
  #isolated = true;
  #harmless = 0;
  /** A suspect runs alone: the next delivery tells that the process outlived it. */
  #onTrial = false;
  #vouched = false;

  constructor(maxDeliveries: number) {
    this.#limit = Math.min(CRASH_LIMIT, maxDeliveries - 1);
    this.#trustedTo = Math.max(this.#harmlessTo, Math.min(TRUSTED_TO, Math.floor(this.#limit / 2)));
  }

  get isolated(): boolean {
    return this.#isolated;
  }

  /** Whether enough were harmless; the caller opens with {@link open} once it holds nothing. */
  get cleared(): boolean {
    return this.#isolated && this.#harmless >= CLEARED_AFTER;
  }

  isHarmless(deliveries: number): boolean {
    return deliveries <= this.#harmlessTo;
  }

  /** Enough is known already. */
  clear(): void {
    this.#harmless = CLEARED_AFTER;
  }

  open(): void {
    this.#isolated = false;
    if (this.#vouched) this.#harmlessTo = this.#trustedTo;
  }

  /** From now on until it is cleared again, the caller holds one delivery at a time. */
  isolate(): void {
    this.#isolated = true;
    this.#harmlessTo = SUSPECT_FROM - 1;
    this.#restart();
  }

  /** What to do with a delivery that arrives while `held` others are held. */
  judge(deliveries: number, held: number): Suspicion {
    if (held === 0) this.#outlive();
    if (this.isHarmless(deliveries)) {
      this.#harmless += 1;
      return 'run';
    }
    const alone = this.#isolated && held === 0;
    this.#onTrial = alone && deliveries <= this.#trustedTo;
    if (!this.#onTrial) this.#restart();
    if (!alone) return 'isolate';
    return deliveries > this.#limit ? 'crash-loop' : 'run';
  }

  #outlive(): void {
    if (!this.#onTrial) return;
    this.#onTrial = false;
    this.#vouched = true;
    this.#harmless += 1;
  }

  #restart(): void {
    this.#harmless = 0;
    this.#onTrial = false;
    this.#vouched = false;
  }
}
