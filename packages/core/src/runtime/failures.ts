import { BatchError, WaybillError } from '../driver/errors.ts';
import { failureText } from '../failure/bookkeeping.ts';

/** Anything thrown, as an error with a code. */
export function asWaybillError(thrown: unknown, attempted: string): WaybillError {
  if (WaybillError.is(thrown)) return thrown;
  return new WaybillError('UNKNOWN', `${attempted} failed: ${failureText(thrown, false).message}`, { cause: thrown });
}

/** Which of a batch failed, by index: those that a BatchError names, or all. */
export function failuresOf(count: number, thrown: unknown, attempted: string): ReadonlyMap<number, WaybillError> {
  if (BatchError.is(thrown)) return new Map(thrown.failures.map((failure) => [failure.index, failure.error]));
  const error = asWaybillError(thrown, attempted);
  return new Map(Array.from({ length: count }, (_, index) => [index, error]));
}
