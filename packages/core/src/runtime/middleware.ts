import type { OutgoingMessage } from '../driver/driver.ts';
import type { Awaitable } from '../contract/validate.ts';
import type { Message } from '../envelope/envelope.ts';

/** Names a value on a scope, with its type: a transaction, a tenant. Made by {@link slot}. */
export interface Slot<T> {
  readonly name: string;
  readonly '~type'?: T;
}

/** Each call makes a slot of its own, also for a name that was used before. */
export function slot<T>(name: string): Slot<T> {
  return Object.freeze({ name });
}

/** One attempt, as middlewares see it. */
export interface HandleScope {
  readonly queue: string;
  readonly message: Message;
  readonly attempt: number;
  /** Whether this stored copy was handed out before. */
  readonly redelivered: boolean;
  /** Aborts when the time is up, the lease is lost or the consumer must stop. */
  readonly signal: AbortSignal;
  /** What the handler collected so far, in wire form. A middleware that takes it out dispatches it itself (outbox). */
  takeOutgoing(): Promise<readonly OutgoingMessage[]>;
  get<T>(slot: Slot<T>): T | undefined;
  set<T>(slot: Slot<T>, value: T): void;
}

/** Bytes on the wire: encryption, compression, claim check. `decode` undoes what `encode` of the same codec did. */
export interface Codec {
  encode(body: Uint8Array, headers: Record<string, string>): Awaitable<Uint8Array>;
  decode(body: Uint8Array, headers: Readonly<Record<string, string>>): Awaitable<Uint8Array>;
}

/** Hangs on the bus. Applied in the order given; codecs are undone in reverse. */
export interface Middleware {
  readonly name: string;
  /** Around every attempt: after decoding, before settling. Not calling `next` means accept (inbox). */
  handle?(scope: HandleScope, next: () => Promise<void>): Promise<void>;
  /** Around every hand-over to the broker, encoded: rate limits, spans, migration. */
  dispatch?(
    batch: readonly OutgoingMessage[],
    next: (batch: readonly OutgoingMessage[]) => Promise<void>,
  ): Promise<void>;
  readonly codec?: Codec;
}

export type Send = (batch: readonly OutgoingMessage[], signal: AbortSignal) => Promise<void>;

/** `send` with every `dispatch` around it, first outermost. */
export function withDispatch(middlewares: readonly Middleware[], send: Send): Send {
  return middlewares.reduceRight<Send>((next, middleware) => {
    if (middleware.dispatch === undefined) return next;
    return async (batch, signal) => middleware.dispatch?.(batch, (inner) => next(inner, signal));
  }, send);
}

/** All `handle`s as one, first outermost; undefined where there is none, so that the hot path has nothing to call. */
export function composeHandle(
  middlewares: readonly Middleware[],
): ((scope: HandleScope, handler: () => Promise<void>) => Promise<void>) | undefined {
  const handling = middlewares.filter((middleware) => middleware.handle !== undefined);
  if (handling.length === 0) return undefined;
  return (scope, handler) => {
    const run = (index: number): Promise<void> => handling[index]?.handle?.(scope, () => run(index + 1)) ?? handler();
    return run(0);
  };
}

/** All codecs as one; undefined where there is none. */
export function composeCodec(middlewares: readonly Middleware[]): Codec | undefined {
  const codecs = middlewares.flatMap((middleware) => (middleware.codec === undefined ? [] : [middleware.codec]));
  if (codecs.length === 0) return undefined;
  return {
    async encode(body, headers) {
      let bytes = body;
      for (const codec of codecs) bytes = await codec.encode(bytes, headers);
      return bytes;
    },
    async decode(body, headers) {
      let bytes = body;
      for (const codec of codecs.toReversed()) bytes = await codec.decode(bytes, headers);
      return bytes;
    },
  };
}
