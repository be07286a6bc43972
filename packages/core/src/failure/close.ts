import type { Clock } from '../driver/clock.ts';

export const DEFAULT_CLOSE_MS = 25_000;
/** Handlers get this share of the deadline; the rest is for settlements, publishers and the driver. */
const HANDLER_SHARE = 0.8;
/** Of the rest, what handlers that were told to stop do not get: at most this, and at most a tenth of the deadline. */
const LAST_MS = 500;

/** All steps of a close share one deadline. */
export interface CloseTimes {
  /** Epoch ms after which running handlers are told to stop. */
  readonly abortAt: number;
  /** Epoch ms until which they are waited for. */
  readonly handlersBy: number;
  /** Epoch ms. */
  readonly deadlineMs: number;
}

export function closeTimes(clock: Clock, withinMs: number = DEFAULT_CLOSE_MS): CloseTimes {
  const now = clock.now();
  const handlersBy = now + withinMs - Math.min(LAST_MS, withinMs / 10);
  return { abortAt: now + withinMs * HANDLER_SHARE, handlersBy, deadlineMs: now + withinMs };
}

/** Resolves when `work` settles, true, or at `atMs`, false. Never rejects. */
export function settledBy(clock: Clock, atMs: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = clock.after(Math.max(atMs - clock.now(), 0), () => resolve(false));
    const done = (): void => {
      cancel();
      resolve(true);
    };
    work.then(done, done);
  });
}
