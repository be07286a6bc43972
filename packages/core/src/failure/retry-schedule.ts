import { WaybillError } from '../driver/errors.ts';
import type { DeadReason } from './bookkeeping.ts';
import { isReject, isRetryLater } from './intent.ts';

/** One delay a retry: the number of attempts is one more than the number of delays. */
export interface RetrySchedule {
  /** @default [1_000, 5_000, 30_000, 300_000] */
  readonly delaysMs: readonly number[];
  /** Share of a delay that chance adds; it never subtracts. From 0 to 1. @default 0.2 */
  readonly jitter: number;
}

export const DEFAULT_RETRY: RetrySchedule = { delaysMs: [1_000, 5_000, 30_000, 300_000], jitter: 0.2 };

export type Verdict =
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'dead'; readonly reason: DeadReason };

/** Thrown by the runtime when a handler overran its time. */
export class HandlerTimeout extends Error {
  constructor(timeoutMs: number) {
    super(`the handler did not finish within ${timeoutMs} ms`);
    this.name = 'HandlerTimeout';
  }
}

/** What becomes of a message whose attempt failed with `thrown`. */
export function judge(thrown: unknown, attempt: number, schedule: RetrySchedule, random: () => number): Verdict {
  if (isReject(thrown)) return { kind: 'dead', reason: 'rejected' };
  const delay = schedule.delaysMs[attempt - 1];
  if (delay === undefined) {
    return { kind: 'dead', reason: thrown instanceof HandlerTimeout ? 'timed-out' : 'handler-failed' };
  }
  if (isRetryLater(thrown)) return { kind: 'retry', delayMs: thrown.delayMs };
  return { kind: 'retry', delayMs: Math.ceil(delay * (1 + schedule.jitter * random())) };
}

/** The reason of a message that cannot even be given to its handler. */
export function poisonReason(error: unknown): DeadReason | undefined {
  if (!WaybillError.is(error)) return undefined;
  if (error.code === 'INVALID_MESSAGE') return 'invalid';
  return error.code === 'UNKNOWN_VERSION' ? 'unknown-version' : undefined;
}
