import { z } from 'zod';
import { type Clock, systemClock } from '../driver/clock.ts';
import type { Driver } from '../driver/driver.ts';
import { DEFAULT_RECONNECT, type Reconnect } from './backoff.ts';
import { parseOptions } from './consume-options.ts';
import type { Middleware } from './middleware.ts';
import type { Observe } from './observe.ts';
import type { Used } from './registry.ts';

export interface BusOptions {
  /** Who publishes: a URI reference such as `/order-service`, in every message's metadata. */
  readonly source: string;
  readonly driver: Driver;
  /** The contracts that are published and the queues that are consumed, sent to or watched. */
  readonly uses: readonly Used[];
  /** Put before every name on the broker, with a ".". @default '' */
  readonly prefix?: string;
  /** `create` what is missing at first use, or only `verify` that all is there. @default 'create' */
  readonly provision?: 'create' | 'verify';
  /** How long a publish or send may take, retries included. @default 30_000 */
  readonly sendTimeoutMs?: number;
  /** What may wait to be stored; more is refused with THROTTLED. @default 64 MiB */
  readonly maxPendingBytes?: number;
  readonly reconnect?: Partial<Reconnect>;
  readonly middleware?: readonly Middleware[];
  readonly observe?: Observe;
  /** The time: give a test's own here and to the memory driver. @default the system's */
  readonly clock?: Clock;
  /** Chance, from 0 up to 1: jitter. @default Math.random */
  readonly random?: () => number;
}

export type BusSettings = Required<Omit<BusOptions, 'observe' | 'reconnect'>> & {
  readonly observe: Observe | undefined;
  readonly reconnect: Reconnect;
};

const URI_REFERENCE = /^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/;
const isFunction = (value: unknown): boolean => typeof value === 'function';
const schema = z.strictObject({
  source: z.string().max(200).regex(URI_REFERENCE, 'is no URI reference such as /order-service'),
  driver: z.custom<Driver>((value) => (value as Driver | undefined)?.spec === 1, {
    error: ({ input }) => notOurs(input),
  }),
  uses: z.array(z.custom<Used>((value) => typeof value === 'object' && value !== null)).min(1),
  prefix: z.string().default(''),
  provision: z.enum(['create', 'verify']).default('create'),
  sendTimeoutMs: z
    .number()
    .int()
    .positive()
    .max(2 ** 31 - 1)
    .default(30_000),
  maxPendingBytes: z
    .number()
    .int()
    .positive()
    .default(64 * 1024 * 1024),
  reconnect: z
    .strictObject({
      minMs: z.number().positive().default(DEFAULT_RECONNECT.minMs),
      maxMs: z.number().positive().default(DEFAULT_RECONNECT.maxMs),
    })
    .prefault({}),
  middleware: z.array(z.custom<Middleware>((value) => typeof value === 'object' && value !== null)).default([]),
  observe: z.custom<Observe>(isFunction).optional(),
  clock: z
    .custom<Clock>((value) => typeof value === 'object' && value !== null && 'now' in value && isFunction(value.now))
    .default(systemClock),
  random: z.custom<() => number>(isFunction).default(() => Math.random),
});

/** Throws INVALID_ARGUMENT listing every problem. */
export function busSettings(options: BusOptions): BusSettings {
  const parsed = parseOptions('createBus', schema, options);
  return { ...parsed, observe: parsed.observe };
}

function notOurs(driver: unknown): string {
  const { name, spec } = (driver ?? {}) as { readonly name?: unknown; readonly spec?: unknown };
  const isDriver = typeof name === 'string' && typeof spec === 'number';
  if (!isDriver) return 'is no driver: give what rabbitmq(…) or memory(…) returns';
  return `"${name}" has spec ${spec}, and this version of @waybill/core needs 1: update the older of the two packages`;
}
