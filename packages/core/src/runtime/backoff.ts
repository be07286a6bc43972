/** How the core waits between calls to a broker that does not answer. */
export interface Reconnect {
  /** @default 100 */
  readonly minMs: number;
  /** @default 5_000 */
  readonly maxMs: number;
}

export const DEFAULT_RECONNECT: Reconnect = { minMs: 100, maxMs: 5_000 };

/** The wait after `failures` failures in a row: doubled each time up to the maximum, plus up to 20 %. */
export function backoffMs(failures: number, reconnect: Reconnect, random: () => number): number {
  const base = Math.min(reconnect.minMs * 2 ** Math.min(Math.max(failures - 1, 0), 30), reconnect.maxMs);
  return Math.ceil(base * (1 + 0.2 * random()));
}
