import { type Clock, systemClock } from './clock.ts';
import { WaybillError } from './errors.ts';

/** Settles as `promise` does, or rejects with TIMEOUT, saying what was attempted, as soon as `signal` aborts. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal, attempted: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void =>
      reject(new WaybillError('TIMEOUT', `Could not ${attempted} in time.`, { cause: signal.reason }));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Resolves once `promise` settles, at the latest at `deadlineMs` (epoch), with whether it was in time. */
export function byDeadline(deadlineMs: number, promise: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = systemClock.after(deadlineMs - systemClock.now(), () => resolve(false));
    const settled = (): void => {
      cancel();
      resolve(true);
    };
    promise.then(settled, settled);
  });
}

/** Resolves after `ms`, or as soon as `signal` aborts. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
