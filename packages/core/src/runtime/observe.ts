import type { ClientLine, Driver } from '../driver/driver.ts';
import type { WaybillError } from '../driver/errors.ts';

export type ConsumerStatus = 'starting' | 'up' | 'degraded' | 'down' | 'closed';

/** How an attempt ended. `dropped`: its lease was lost, so whatever the handler did is not settled by this process. */
export type Outcome = 'accepted' | 'retried' | 'dead-lettered' | 'dropped';

/** Everything that happens, for spans, metrics and logs. Times are epoch ms, durations ms. */
export type ObserveEvent =
  /** A batch was handed to the broker. `failed` of `count` were not stored. */
  | {
      readonly name: 'sent';
      readonly destination: string;
      readonly count: number;
      readonly failed: number;
      readonly startedAt: number;
      readonly durationMs: number;
      readonly error?: WaybillError;
    }
  /** A handler ran. `startedAt` and `durationMs` make the span of it; `traceparent` is what it should link to. */
  | {
      readonly name: 'handled';
      readonly queue: string;
      readonly type: string;
      readonly id: string;
      readonly attempt: number;
      readonly deliveries: number;
      readonly outcome: Outcome;
      readonly startedAt: number;
      readonly durationMs: number;
      readonly traceparent?: string;
      readonly error?: unknown;
    }
  | {
      readonly name: 'retry-scheduled';
      readonly queue: string;
      readonly type: string;
      readonly id: string;
      readonly nextAttempt: number;
      readonly delayMs: number;
      readonly error: unknown;
    }
  /** The dead lane has it. */
  | {
      readonly name: 'dead-lettered';
      readonly queue: string;
      readonly type: string;
      readonly id: string;
      readonly attempt: number;
      readonly reason: string;
      readonly error: unknown;
    }
  /** Moved without an attempt: a long delay's next hop, or an unknown type or version that waits for a newer process. */
  | {
      readonly name: 'waits';
      readonly queue: string;
      readonly type: string;
      readonly id: string;
      readonly until: number;
    }
  /** Accepted unhandled: its type is not bound on a broker without filters, or `skip` names its reason. */
  | {
      readonly name: 'skipped';
      readonly queue: string;
      readonly type: string;
      readonly id: string;
      readonly reason: string;
    }
  | { readonly name: 'lease-lost'; readonly queue: string; readonly count: number; readonly error: WaybillError }
  /** A handler did not return within its grace period: its slot stays taken. */
  | {
      readonly name: 'stuck';
      readonly queue: string;
      readonly type: string;
      readonly id: string;
      readonly sinceMs: number;
    }
  | {
      readonly name: 'consumer';
      readonly queue: string;
      readonly status: ConsumerStatus;
      readonly error?: WaybillError;
    }
  | { readonly name: 'isolated'; readonly queue: string; readonly deliveries: number }
  | { readonly name: 'frozen'; readonly frozenMs: number }
  | { readonly name: 'redriven'; readonly queue: string; readonly count: number }
  /** The broker's client library logged it. */
  | ({ readonly name: 'client'; readonly driver: string } & ClientLine);

/** Gets every event, in the turn it happens. What it throws is dropped: watching never changes what is watched. */
export type Observe = (event: ObserveEvent) => void;

/** Undefined where nobody watches, so that the hot path builds no event. */
export function guarded(observe: Observe | undefined): Observe | undefined {
  if (observe === undefined) return undefined;
  return (event) => {
    try {
      observe(event);
    } catch {
      // An observer's own failure is not the messages' problem.
    }
  };
}

/** What begins, once, to tell what the client library logs; where nobody watches the driver is not asked. */
export function clientWatch(driver: Driver, observe: Observe | undefined): () => void {
  let begun = observe === undefined;
  return () => {
    if (begun) return;
    begun = true;
    driver.watch?.(({ level, message, fields }) =>
      observe?.({ name: 'client', driver: driver.name, level, message, fields }),
    );
  };
}
