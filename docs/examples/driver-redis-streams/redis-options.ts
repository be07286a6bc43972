import { WaybillError } from '@waybill/core/driver';

export interface RedisStreamsOptions {
  /** `redis://user:password@host:6379/0`, or `rediss:`. */
  readonly url: string;
  /** How long a message is kept from others while nobody extends it; less than a day. @default 30_000 */
  readonly leaseMs?: number;
  /** Longest delay of one send; the core repeats longer ones. @default Infinity */
  readonly maxDelayMs?: number;
}

/** Throws INVALID_ARGUMENT that names no value: urls hold passwords. */
export function checkOptions(options: RedisStreamsOptions): Required<RedisStreamsOptions> {
  const settings = { leaseMs: 30_000, maxDelayMs: Number.POSITIVE_INFINITY, ...options };
  if (/^rediss?:/.test(settings.url) && URL.canParse(settings.url) && settings.leaseMs < 86_400_000) return settings;
  throw new WaybillError('INVALID_ARGUMENT', 'redisStreams() needs a redis: or rediss: url and a lease below a day.');
}
