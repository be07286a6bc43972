import type { Bookkeeping, DeadReason } from './bookkeeping.ts';

/** How long an unknown message waits for a process that knows it before it is handed out again. */
export const UNKNOWN_DELAY_MS = 5_000;
export const DEFAULT_UNKNOWN_FOR_MS = 600_000;

/**
 * The bookkeeping of the next wait of a message whose type or version this process does not know: in a rolling deploy a
 * newer process gets it. Undefined once it has waited `unknownForMs`; no attempt is counted.
 */
export function waitForNewer(bookkeeping: Bookkeeping, now: number, unknownForMs: number): Bookkeeping | undefined {
  const unknownSince = bookkeeping.unknownSince ?? now;
  if (now - unknownSince >= unknownForMs) return undefined;
  return { ...bookkeeping, unknownSince, hops: (bookkeeping.hops ?? 0) + 1 };
}

export function isUnknown(reason: DeadReason): boolean {
  return reason === 'unknown-type' || reason === 'unknown-version';
}
