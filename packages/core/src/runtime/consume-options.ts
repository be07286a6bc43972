import { z } from 'zod';
import type { Driver } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import type { QueueContract } from '../contract/define-queue.ts';
import { DEFAULT_RETRY, type RetrySchedule } from '../failure/retry-schedule.ts';
import { DEFAULT_UNKNOWN_FOR_MS } from '../failure/unknown.ts';
import type { DeadReason } from '../failure/bookkeeping.ts';

export interface ConsumeOptions {
  /** Handlers that run at the same time in this process. @default 16 */
  readonly concurrency?: number;
  readonly retry?: Partial<RetrySchedule>;
  /** A handler's time: then its signal aborts, and 10 s later its attempt has failed. @default 300_000 */
  readonly timeoutMs?: number;
  /** How long a message of an unknown type or version waits for a newer process, on unordered queues. @default 600_000 */
  readonly unknownForMs?: number;
  /** Reasons to drop a message instead of keeping it as a dead letter. @default none */
  readonly skip?: readonly DeadReason[];
  /** Ends the wait for a broker that is down. */
  readonly signal?: AbortSignal;
}

export type ConsumeSettings = Required<Omit<ConsumeOptions, 'signal' | 'retry'>> & {
  readonly retry: RetrySchedule;
  /** Deliveries held at once. */
  readonly window: number;
};

const ORDERED_WINDOW = 1_000;
const WINDOW_PER_SLOT = 4;
const LONGEST_MS = 12 * 60 * 60 * 1_000;

const ms = z.number().min(0).max(LONGEST_MS);
const schema = z.strictObject({
  concurrency: z.number().int().min(1).max(10_000).default(16),
  retry: z
    .strictObject({
      delaysMs: z
        .array(ms)
        .max(100)
        .default([...DEFAULT_RETRY.delaysMs]),
      jitter: z.number().min(0).max(1).default(DEFAULT_RETRY.jitter),
    })
    .prefault({}),
  timeoutMs: ms.positive().default(300_000),
  unknownForMs: ms.default(DEFAULT_UNKNOWN_FOR_MS),
  skip: z
    .array(
      z.enum([
        'handler-failed',
        'rejected',
        'timed-out',
        'undecodable',
        'invalid',
        'unknown-type',
        'unknown-version',
        'crash-loop',
        'expired',
      ]),
    )
    .default([]),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal).optional(),
});

/** Throws INVALID_ARGUMENT listing every problem, and UNSUPPORTED for a hold that the broker does not allow. */
export function consumeSettings(
  queue: QueueContract,
  options: ConsumeOptions,
  { name: broker, capabilities }: Driver,
): ConsumeSettings {
  const { signal: _, ...settings } = parseOptions(`consume("${queue.name}")`, schema, options);
  const { retry, timeoutMs } = settings;
  if (!queue.ordered && capabilities.maxDelayMs <= 0 && retry.delaysMs.length > 0) {
    throw new WaybillError(
      'UNSUPPORTED',
      `${broker} cannot delay, so "${queue.name}" cannot retry: give \`retry: { delaysMs: [] }\`.`,
    );
  }
  // An ordered queue holds a message through all its attempts, an unordered one through one.
  const attempts = queue.ordered ? retry.delaysMs.length + 1 : 1;
  const waits = queue.ordered ? retry.delaysMs.reduce((sum, delay) => sum + delay * (1 + retry.jitter), 0) : 0;
  const holdMs = attempts * timeoutMs + waits;
  if (holdMs > capabilities.maxHoldMs) {
    throw new WaybillError(
      'UNSUPPORTED',
      `A message of "${queue.name}" may be held for ${Math.ceil(holdMs)} ms, and ${broker} allows ${capabilities.maxHoldMs}: lower timeoutMs${queue.ordered ? ' or the retry delays' : ''}.`,
    );
  }
  return {
    ...settings,
    window: queue.ordered ? Math.max(ORDERED_WINDOW, settings.concurrency) : WINDOW_PER_SLOT * settings.concurrency,
  };
}

/** Options checked at once. Throws INVALID_ARGUMENT listing every problem. */
export function parseOptions<Schema extends z.ZodType>(
  call: string,
  options: Schema,
  value: unknown,
): z.output<Schema> {
  const result = options.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues
    .map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`)
    .join('; ');
  throw new WaybillError('INVALID_ARGUMENT', `The options of ${call} are wrong: ${problems}.`, { cause: result.error });
}
