import { setTimeout as sleep } from 'node:timers/promises';

export interface EventuallyOptions {
  /** How long to try. @default 30000 */
  readonly withinMs?: number;
  /** Pause between two tries. @default 50 */
  readonly everyMs?: number;
}

/**
 * Resolves with what `check` returns once it neither throws nor returns false. Rejects at the deadline with the last
 * failure as message and cause, also when `check` hangs.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, false>> {
  const withinMs = options.withinMs ?? 30_000;
  const deadline = Date.now() + withinMs;
  let tries = 0;
  let failure: unknown = new Error('the check did not end');
  do {
    tries += 1;
    const outcome = await attempt(check, deadline - Date.now());
    if (outcome.ok) {
      return outcome.value;
    }
    failure = outcome.failure ?? failure;
    await sleep(Math.max(0, Math.min(options.everyMs ?? 50, deadline - Date.now())));
  } while (Date.now() < deadline);
  const reason = failure instanceof Error ? failure.message : String(failure);
  throw new Error(`Not within ${withinMs} ms (${tries} tries): ${reason}`, { cause: failure });
}

type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure?: unknown };

async function attempt<T>(check: () => T | Promise<T>, remainingMs: number): Promise<Outcome<Exclude<T, false>>> {
  const timer = new AbortController();
  const late = sleep(Math.max(1, remainingMs), undefined, { signal: timer.signal }).then(
    () => ({ ok: false }) as const,
    () => ({ ok: false }) as const,
  );
  const tried = settle(check).finally(() => timer.abort());
  return await Promise.race([tried, late]);
}

async function settle<T>(check: () => T | Promise<T>): Promise<Outcome<Exclude<T, false>>> {
  try {
    const value = await check();
    return isNotFalse(value) ? { ok: true, value } : { ok: false, failure: new Error('the check returned false') };
  } catch (failure) {
    return { ok: false, failure };
  }
}

function isNotFalse<T>(value: T): value is Exclude<T, false> {
  return value !== false;
}
