import type { OutgoingMessage } from '../driver/driver.ts';
import { BatchError, type WaybillError } from '../driver/errors.ts';
import { asWaybillError, failuresOf } from './failures.ts';
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
    return (batch, signal) => dispatched(middleware, batch, (inner) => next(inner, signal));
  }, send);
}

/** A middleware may hand on in parts: when it fails, what no part stored has failed, by its place in the whole batch. */
async function dispatched(
  middleware: Middleware,
  batch: readonly OutgoingMessage[],
  next: (part: readonly OutgoingMessage[]) => Promise<void>,
): Promise<void> {
  const stored = new Set<OutgoingMessage>();
  const failed = new Map<OutgoingMessage, WaybillError>();
  try {
    await middleware.dispatch?.(batch, async (part) => {
      try {
        await next(part);
        for (const message of part) stored.add(message);
      } catch (error) {
        const failures = failuresOf(part.length, error, 'A send');
        for (const [index, message] of part.entries()) {
          const failure = failures.get(index);
          if (failure === undefined) stored.add(message);
          else failed.set(message, failure);
        }
        throw error;
      }
    });
  } catch (error) {
    const cause = asWaybillError(error, `The middleware "${middleware.name}"`);
    const failures = batch.flatMap((message, index) =>
      stored.has(message) ? [] : [{ index, error: failed.get(message) ?? cause }],
    );
    throw failed.size === 0 && stored.size === 0 ? cause : new BatchError(failures, batch.length);
  }
}

/** All `handle`s as one, first outermost; undefined where there is none, so that the hot path has nothing to call. */
export function composeHandle(
  middlewares: readonly Middleware[],
): ((scope: HandleScope, handler: () => Promise<void>) => Promise<void>) | undefined {
  const handling = middlewares.filter((middleware) => middleware.handle !== undefined);
  if (handling.length === 0) return undefined;
  return (scope, handler) => {
    const run = async (index: number): Promise<void> => {
      const middleware = handling[index];
      if (middleware === undefined) return handler();
      return middleware.handle?.(scope, () => run(index + 1));
    };
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
