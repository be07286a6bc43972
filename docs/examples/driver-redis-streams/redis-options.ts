import { WaybillError } from '@waybill/core/driver';

export interface RedisStreamsOptions {
  /** `redis://user:password@host:6379/0`, or `rediss:`. */
  readonly url: string;
  /** How long a message is kept from others while nobody extends it. @default 30_000 */
  readonly leaseMs?: number;
  /** Longest delay of one send; the core repeats longer ones. @default none */
  readonly maxDelayMs?: number;
  /** A server that answers nothing for so long is taken for gone. @default 5_000 */
  readonly silentMs?: number;
}

export type Settings = Required<RedisStreamsOptions>;

/** Leases are kept as the rest of this: a message that nobody holds has been idle for longer. */
export const LONGEST_LEASE_MS = 86_400_000;

/** Throws INVALID_ARGUMENT naming every problem, and no value: urls hold passwords. */
export function checkOptions(options: RedisStreamsOptions): Settings {
  const settings = { leaseMs: 30_000, maxDelayMs: Number.POSITIVE_INFINITY, silentMs: 5_000, ...options };
  const { url, leaseMs, maxDelayMs, silentMs } = settings;
  const problems = [
    ...(/^rediss?:\/\//.test(url) && URL.canParse(url) ? [] : ['url: is no redis:// or rediss:// url']),
    ...(leaseMs >= 1_000 && leaseMs < LONGEST_LEASE_MS ? [] : ['leaseMs: must be 1,000 or more, and less than a day']),
    ...(maxDelayMs >= 1 ? [] : ['maxDelayMs: must be 1 or more']),
    ...(silentMs >= 100 ? [] : ['silentMs: must be 100 or more']),
  ];
  if (problems.length === 0) return settings;
  throw new WaybillError('INVALID_ARGUMENT', `redisStreams() cannot use these options. ${problems.join('; ')}.`);
}
