import { WaybillError } from '../../src/index.ts';

/** What a refusal says: its code and its sentence. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** The refusal that `make` throws. What is not refused, or not with a WaybillError, fails the test. */
export function refusal(make: () => unknown): Refusal {
  try {
    make();
  } catch (error) {
    if (WaybillError.is(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('it was not refused');
}

/** As {@link refusal}, for what rejects. */
export async function rejection(promise: PromiseLike<unknown>): Promise<Refusal> {
  try {
    await promise;
  } catch (error) {
    if (WaybillError.is(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('it was not refused');
}

export function invalidArgument(message: string): Refusal {
  return { code: 'INVALID_ARGUMENT', message };
}
