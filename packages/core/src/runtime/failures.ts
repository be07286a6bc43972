import { BatchError, WaybillError } from '../driver/errors.ts';

/** Anything thrown, as an error with a code. */
export function asWaybillError(thrown: unknown, attempted: string): WaybillError {
  if (WaybillError.is(thrown)) return thrown;
  const said = thrown instanceof Error ? thrown.message : JSON.stringify(thrown);
  return new WaybillError('UNKNOWN', `${attempted} failed: ${said}`, { cause: thrown });
}

/** Which of a batch failed, by index: those that a BatchError names, or all. */
export function failuresOf(count: number, thrown: unknown, attempted: string): ReadonlyMap<number, WaybillError> {
  if (BatchError.is(thrown)) return new Map(thrown.failures.map((failure) => [failure.index, failure.error]));
  const error = asWaybillError(thrown, attempted);
  return new Map(Array.from({ length: count }, (_, index) => [index, error]));
}
