// Unit tests of the batcher: `send` is a function scripted by the test. It stands for no broker; those are tested for real.
import {
  BatchError,
  type Limit,
  type OutgoingMessage,
  WaybillError,
  type WaybillErrorCode,
} from '../../src/driver/index.ts';
import type { ObserveEvent } from '../../src/index.ts';
import { Publisher, type PublisherOptions } from '../../src/runtime/publisher.ts';
import { StillClock } from '../driver/kit.ts';

/** One call of `send`, open until the test ends it. */
export interface Call {
  readonly ids: readonly string[];
  readonly batch: readonly OutgoingMessage[];
  readonly signal: AbortSignal;
  readonly at: number;
  open: boolean;
  store(): Promise<void>;
  fail(error: unknown): Promise<void>;
  /** Fails those with these ids, stores the others. */
  failSome(failures: Readonly<Record<string, WaybillErrorCode>>): Promise<void>;
}

/** How a message that was handed to the publisher ended: `pending`, `stored`, or the code it was rejected with. */
export interface Sent {
  readonly id: string;
  outcome: string;
  error: unknown;
  readonly settled: Promise<void>;
}

export const TIMEOUT = 30_000;

/** What was published in this turn has gone out by then, and what settled was told. */
export async function turn(): Promise<void> {
  for (let round = 0; round < 3; round += 1) await new Promise((resolve) => setImmediate(resolve));
}

export function message(id: string, more: Partial<OutgoingMessage> & { bytes?: number } = {}): OutgoingMessage {
  const { bytes = 10, ...rest } = more;
  return {
    target: { topic: 'orders' },
    id,
    type: 'order.placed',
    contentType: 'application/json',
    body: new Uint8Array(bytes),
    headers: {},
    ...rest,
  };
}

export class Bench {
  readonly clock = new StillClock();
  readonly calls: Call[] = [];
  readonly events: ObserveEvent[] = [];
  readonly publisher: Publisher;
  beforeSends = 0;

  constructor(limit: Partial<Limit> = {}, options: Partial<PublisherOptions> = {}) {
    this.publisher = new Publisher({
      send: (batch, signal) => this.#call(batch, signal),
      limit: { count: 100, bytes: 1_000_000, concurrency: 1, everyMs: 0, ...limit },
      clock: this.clock,
      timeoutMs: TIMEOUT,
      maxPendingBytes: 1_000_000,
      reconnect: { minMs: 100, maxMs: 5_000 },
      random: () => 0,
      observe: (event) => this.events.push(event),
      beforeSend: () => (this.beforeSends += 1),
      ...options,
    });
  }

  get open(): readonly Call[] {
    return this.calls.filter((call) => call.open);
  }

  get last(): Call {
    const call = this.calls.at(-1);
    if (call === undefined) throw new Error('nothing was sent');
    return call;
  }

  /** Ids by call. */
  get batches(): readonly (readonly string[])[] {
    return this.calls.map((call) => call.ids);
  }

  publish(id: string, more: Parameters<typeof message>[1] & { signal?: AbortSignal } = {}): Sent {
    const { signal, ...rest } = more;
    return this.watch(id, this.publisher.publish(message(id, rest), signal));
  }

  watch(id: string, promise: Promise<void>): Sent {
    const sent: { -readonly [Name in keyof Sent]: Sent[Name] } = {
      id,
      outcome: 'pending',
      error: undefined,
      settled: Promise.resolve(),
    };
    sent.settled = promise.then(
      () => void (sent.outcome = 'stored'),
      (error: unknown) => {
        sent.error = error;
        sent.outcome = WaybillError.is(error) ? error.code : 'other';
      },
    );
    return sent;
  }

  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    await turn();
  }

  async #call(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = async (settle: () => void): Promise<void> => {
        call.open = false;
        settle();
        await turn();
      };
      const call: Call = {
        ids: batch.map(({ id }) => id),
        batch,
        signal,
        at: this.clock.now(),
        open: true,
        store: async () => end(resolve),
        fail: async (error) => end(() => reject(error)),
        failSome: async (failures) => {
          const failed = batch.flatMap(({ id }, index) => {
            const code = failures[id];
            return code === undefined ? [] : [{ index, error: new WaybillError(code, `${id} was not stored`) }];
          });
          const error = new BatchError(failed, batch.length);
          // Written out, so that an error that somebody keeps does not keep this call by its frames.
          for (const { error: kept } of [...failed, { error }]) void kept.stack;
          return end(() => reject(error));
        },
      };
      this.calls.push(call);
    });
  }
}

export function failure(code: WaybillErrorCode, text = 'the broker said no'): WaybillError {
  return new WaybillError(code, text);
}
