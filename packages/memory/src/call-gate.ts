import { type Clock, type Limit, WaybillError } from '@waybill/core/driver';

/** `setTimeout` may fire this much early by the wall clock. */
const TIMER_ERROR_MS = 1;

/** Refuses calls beyond the declared limit of one operation. */
export class CallGate {
  readonly #operation: string;
  readonly #limit: Limit;
  readonly #clock: Clock;
  readonly #stayOpen: boolean;
  #open = 0;
  #lastAt = Number.NEGATIVE_INFINITY;

  /** `stayOpen`: every call lasts one turn of the event loop, so that too many at once are seen. */
  constructor(operation: string, limit: Limit, options: { readonly clock: Clock; readonly stayOpen: boolean }) {
    this.#operation = operation;
    this.#limit = limit;
    this.#clock = options.clock;
    this.#stayOpen = options.stayOpen;
  }

  /** Throws INVALID_ARGUMENT at once; what it returns lasts as long as the call is open. */
  pass(count: number, bytes: number): Promise<void> | undefined {
    const limit = this.#limit;
    const now = this.#clock.now();
    if (count > limit.count) this.#refuse(`${count} at once, of at most ${limit.count}`);
    if (bytes > limit.bytes) this.#refuse(`${bytes} bytes at once, of at most ${limit.bytes}`);
    if (this.#open >= limit.concurrency) this.#refuse(`more than ${limit.concurrency} calls open`);
    if (now - this.#lastAt < limit.everyMs - TIMER_ERROR_MS) this.#refuse(`two calls within ${limit.everyMs} ms`);
    this.#lastAt = now;
    if (!this.#stayOpen) return undefined;
    this.#open += 1;
    return new Promise((resolve) => setImmediate(() => ((this.#open -= 1), resolve())));
  }

  #refuse(problem: string): never {
    throw new WaybillError(
      'INVALID_ARGUMENT',
      `The memory driver was asked to ${this.#operation} beyond its limit: ${problem}.`,
    );
  }
}
