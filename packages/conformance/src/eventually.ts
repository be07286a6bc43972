import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 20;

/** Resolves with what `check` returns as soon as that is true; rejects after `withinMs`, with the last error as its cause. */
export async function eventually<T>(
  expectation: string,
  check: () => T | Promise<T>,
  withinMs: number,
): Promise<NonNullable<T>> {
  const until = Date.now() + withinMs;
  let cause: unknown;
  for (;;) {
    try {
      const value = await check();
      if (Boolean(value) && value !== null && value !== undefined) return value;
    } catch (error) {
      cause = error;
    }
    if (Date.now() > until) throw new Error(`not within ${withinMs} ms: ${expectation}`, { cause });
    await sleep(LOOK_EVERY_MS);
  }
}
