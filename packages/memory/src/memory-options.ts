import { type Capabilities, type Clock, type Limit, WaybillError } from '@waybill/core/driver';
import * as z from 'zod';
import { MemoryBroker } from './memory-broker.ts';

export interface MemoryOptions {
  /** Shared with other drivers. Default: one of its own. */
  readonly broker?: MemoryBroker;
  /** Of the broker that this driver makes; not together with `broker`. Default: the system's. */
  readonly clock?: Clock;
  /** How long a delivery is ours, and how much `extend` adds, in ms; Infinity: until the connection goes. Default: 30,000. */
  readonly leaseMs?: number;
  /**
   * Can less than this broker could, and behaves so. `ordering` and `filtersTypes` take hold where this driver creates a
   * queue or binding. `delayErrorMs` above 0: delayed messages arrive at multiples of it.
   */
  readonly capabilities?: Partial<Capabilities>;
  /** Queues that this driver creates swallow a copy whose id they stored within this many ms. Default: 0, none. */
  readonly deduplicationMs?: number;
  /** `send` and `settle` refuse what is beyond, `receive` gives at most `count`. Naming one makes calls last a turn. */
  readonly limits?: {
    readonly send?: Partial<Limit>;
    readonly receive?: Partial<Limit>;
    readonly settle?: Partial<Limit>;
  };
  /** `false`: a driver without management rights. Default: `true`. */
  readonly admin?: boolean;
  /** `false`: a broker that cannot list dead letters without taking them. Default: `true`. */
  readonly browse?: boolean;
}

/** The options with their defaults. */
export interface Settings {
  readonly capabilities: Capabilities;
  readonly limits: { readonly send: Limit; readonly receive: Limit; readonly settle: Limit };
  readonly strictLimits: boolean;
  readonly leaseMs: number;
  readonly maxHoldMs: number;
  readonly deduplicationMs: number;
}

const CAPABILITIES: Capabilities = {
  ordering: 'key',
  filtersTypes: true,
  reject: 'annotated',
  envelope: 'structured',
  maxDelayMs: Number.POSITIVE_INFINITY,
  delayErrorMs: 0,
  maxHoldMs: Number.POSITIVE_INFINITY,
  maxMessageBytes: 1_048_576,
  maxDeliveries: 100,
};
const LIMIT: Limit = { count: 1_000, bytes: 16_777_216, concurrency: 8, everyMs: 0 };

/** zod's own numbers exclude Infinity. */
const atLeast = (least: number): z.ZodType<number> =>
  z.custom<number>(
    (value) => typeof value === 'number' && value >= least,
    `must be a number of at least ${least}, or Infinity`,
  );

const limit = z.strictObject({
  count: atLeast(1).optional(),
  bytes: atLeast(1).optional(),
  concurrency: atLeast(1).optional(),
  everyMs: atLeast(0).optional(),
});
const schema = z
  .strictObject({
    broker: z.instanceof(MemoryBroker, { error: 'must be a MemoryBroker' }).optional(),
    clock: z.custom<Clock>(isClock, 'must have now() and after()').optional(),
    leaseMs: atLeast(1).optional(),
    deduplicationMs: atLeast(0).optional(),
    admin: z.boolean().optional(),
    browse: z.boolean().optional(),
    limits: z.strictObject({ send: limit.optional(), receive: limit.optional(), settle: limit.optional() }).optional(),
    capabilities: z
      .strictObject({
        ordering: z.enum(['none', 'one-process', 'key']).optional(),
        filtersTypes: z.boolean().optional(),
        reject: z.enum(['none', 'bare', 'annotated']).optional(),
        envelope: z.enum(['binary', 'structured']).optional(),
        maxDelayMs: atLeast(0).optional(),
        delayErrorMs: atLeast(0).optional(),
        maxHoldMs: atLeast(1).optional(),
        maxMessageBytes: atLeast(1).optional(),
        maxDeliveries: atLeast(2).optional(),
        topics: z.boolean().optional(),
        leaseMs: atLeast(1).optional(),
      })
      .optional(),
  })
  .refine((options) => options.broker === undefined || options.clock === undefined, {
    path: ['clock'],
    error: 'belongs to the broker: give it to new MemoryBroker({ clock })',
  });

/** Throws INVALID_ARGUMENT with every problem at once. */
export function toSettings(options: MemoryOptions): Settings {
  const result = schema.safeParse(options);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${['options', ...issue.path].join('.')}: ${issue.message}`);
    const message = `memory() cannot use its options. ${problems.join('; ')}.`;
    throw new WaybillError('INVALID_ARGUMENT', message, { cause: result.error });
  }
  const capabilities = { ...CAPABILITIES, ...options.capabilities };
  return {
    capabilities,
    limits: {
      send: { ...LIMIT, ...options.limits?.send },
      receive: { ...LIMIT, concurrency: 1, ...options.limits?.receive },
      settle: { ...LIMIT, ...options.limits?.settle },
    },
    strictLimits: options.limits !== undefined,
    leaseMs: options.leaseMs ?? 30_000,
    maxHoldMs: capabilities.maxHoldMs,
    deduplicationMs: options.deduplicationMs ?? 0,
  };
}

function isClock(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('now' in value) || !('after' in value)) return false;
  return typeof value.now === 'function' && typeof value.after === 'function';
}
