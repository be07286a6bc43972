const REJECT: symbol = Symbol.for('waybill.reject');
const RETRY_LATER: symbol = Symbol.for('waybill.retry-later');

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

// Told by a mark: a handler may throw those of another installed copy of this package.
Object.defineProperty(Reject.prototype, REJECT, { value: true });
Object.defineProperty(RetryLater.prototype, RETRY_LATER, { value: true });

export function isReject(thrown: unknown): thrown is Reject {
  return typeof thrown === 'object' && thrown !== null && REJECT in thrown;
}

export function isRetryLater(thrown: unknown): thrown is RetryLater {
  return typeof thrown === 'object' && thrown !== null && RETRY_LATER in thrown;
}
