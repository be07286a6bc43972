/** Level n holds a message for 2^n of these. Small enough for sub-second retries, and 25 levels still reach 24 days. */
export const STEP_MS = 64;
export const LEVELS = 25;
/** A delay is rounded up to a multiple of a 16th of itself, between STEP_MS and this: fewer levels to pass. */
const COARSEST_MS = 1_024;
export const LONGEST_DELAY_MS: number = STEP_MS * 2 ** LEVELS - 2 * COARSEST_MS;
/** The last exchange: queues bind to it by name, and what finds none goes to UNDELIVERED. */
export const DUE = 'waybill.delay.due';
export const UNDELIVERED = 'waybill.undelivered';

/** Made last: where it is, all others are. */
export const TOP_EXCHANGE: string = levelName(LEVELS - 1);

export function levelName(level: number): string {
  return `waybill.delay.${String(level).padStart(2, '0')}`;
}

/** How long the ladder holds a message that may not arrive before `delayMs`: never less, at most a 16th or 64 ms more. */
export function heldMs(delayMs: number): number {
  const finest = 2 ** Math.floor(Math.log2(Math.max(delayMs, 1) / 16));
  const step = Math.min(Math.max(finest, STEP_MS), COARSEST_MS);
  return Math.ceil(delayMs / step) * step;
}

/** Enters at the highest level that is needed; the routing key says, bit by bit, which of the lower ones hold it too. */
export function delayRoute(delayMs: number, queue: string): { readonly exchange: string; readonly routingKey: string } {
  const bits = (heldMs(delayMs) / STEP_MS).toString(2).padStart(LEVELS, '0');
  return {
    exchange: levelName(LEVELS - 1 - bits.indexOf('1')),
    routingKey: `${Array.from(bits).join('.')}.${queue}`,
  };
}

/** Matches the routing keys whose bit of `level` is `bit`: the first word is the highest level. */
export function levelPattern(level: number, bit: 0 | 1): string {
  return `${'*.'.repeat(LEVELS - 1 - level)}${bit}.#`;
}

/** Matches one queue's routing keys and no other's: `#.b` would match queue `a.b` too. */
export function duePattern(queue: string): string {
  return `${'*.'.repeat(LEVELS)}${queue}`;
}
