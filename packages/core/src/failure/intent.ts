/** Thrown in a handler: this message is a dead letter now, without further attempts. */
export class Reject extends Error {
  /** `reason` becomes the error text of the dead letter, whose reason is `rejected`. */
  constructor(reason: string, options: { readonly cause?: unknown } = {}) {
    super(reason, { cause: options.cause });
    this.name = 'Reject';
  }
}

/** Thrown in a handler: try again after `delayMs` instead of the schedule's delay. It is a failed attempt like any other. */
export class RetryLater extends Error {
  readonly delayMs: number;

  constructor(delayMs: number, options: { readonly cause?: unknown } = {}) {
    super(`try again in ${delayMs} ms`, { cause: options.cause });
    if (!Number.isFinite(delayMs) || delayMs < 0) throw new RangeError('RetryLater takes a number of ms from 0');
    this.name = 'RetryLater';
    this.delayMs = delayMs;
  }
}
