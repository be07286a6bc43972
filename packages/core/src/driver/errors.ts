/** Every way an operation can fail. Codes are never renamed or reused; `docs/errors.md` explains each. */
export type WaybillErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_MESSAGE'
  | 'UNKNOWN_VERSION'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'CONFLICT'
  | 'PERMISSION_DENIED'
  | 'UNSUPPORTED'
  | 'TOO_LARGE'
  | 'THROTTLED'
  | 'UNAVAILABLE'
  | 'TIMEOUT'
  | 'LEASE_LOST'
  | 'CLOSED'
  | 'UNKNOWN';

const BRAND: symbol = Symbol.for('waybill.error');
const RETRYABLE: ReadonlySet<WaybillErrorCode> = new Set(['THROTTLED', 'UNAVAILABLE', 'TIMEOUT']);

/** What every rejection of Waybill is. The message says what was attempted, what the broker said and what to do. */
export class WaybillError extends Error {
  readonly code: WaybillErrorCode;

  constructor(code: WaybillErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'WaybillError';
    this.code = code;
  }

  /** Whether the same call may succeed later: THROTTLED, UNAVAILABLE and TIMEOUT. */
  get retryable(): boolean {
    return RETRYABLE.has(this.code);
  }

  /** Tells a WaybillError from any other value, also one made by another installed copy of this package. */
  static is(value: unknown): value is WaybillError {
    return typeof value === 'object' && value !== null && BRAND in value;
  }
}
Object.defineProperty(WaybillError.prototype, BRAND, { value: true });

/** One message of a batch that failed, by its index in the batch. */
export interface BatchFailure {
  readonly index: number;
  readonly error: WaybillError;
}

/** Some of a batch failed: exactly those in `failures`; the others are done. Its code is that of the first failure. */
export class BatchError extends WaybillError {
  readonly failures: readonly BatchFailure[];

  constructor(failures: readonly BatchFailure[], total: number) {
    const first = failures[0]?.error ?? new WaybillError('UNKNOWN', 'a batch failed without saying why');
    super(first.code, `${failures.length} of ${total} failed. The first: ${first.message}`, { cause: first });
    this.name = 'BatchError';
    this.failures = failures;
  }

  /** Tells a BatchError from any other value, also one made by another installed copy of this package. */
  static override is(value: unknown): value is BatchError {
    return WaybillError.is(value) && 'failures' in value;
  }
}
