import { BatchError, type BatchFailure, WaybillError } from '../driver/errors.ts';

/** Rejects with BatchError once all have settled. */
export async function allStored(stored: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(stored);
  const failures = results.flatMap((result, index): BatchFailure[] => {
    if (result.status === 'fulfilled') return [];
    const reason: unknown = result.reason;
    const error = WaybillError.is(reason)
      ? reason
      : new WaybillError('TIMEOUT', 'The dispatch was aborted: it may be stored or not.', { cause: reason });
    return [{ index, error }];
  });
  if (failures.length > 0) throw new BatchError(failures, stored.length);
}
