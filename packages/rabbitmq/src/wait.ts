import { systemClock, WaybillError } from '@waybill/core/driver';

/** Settles as `promise` does, or rejects with TIMEOUT as soon as `signal` aborts. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal, attempted: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void =>
      reject(new WaybillError('TIMEOUT', `Could not ${attempted} in time.`, { cause: signal.reason }));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Resolves once `promise` settles, at the latest at `deadlineMs`, with whether it was in time. */
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
