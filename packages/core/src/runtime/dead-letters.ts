import type { Clock } from '../driver/clock.ts';
import type { Delivery, Driver, Queue, Subscription } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { decode } from '../envelope/decode.ts';
import type { Message } from '../envelope/envelope.ts';
import { uuidv5 } from '../envelope/ids.ts';
import { type Plain, undo } from './intake.ts';
import type { Codec } from './middleware.ts';
import { BOOKKEEPING_HEADER, type Bookkeeping, type FailureText, readBookkeeping } from '../failure/bookkeeping.ts';

/** A message that was given up, kept with its reason until someone redrives or purges it. */
export interface DeadLetter {
  readonly id: string;
  readonly type: string;
  /** One of Waybill's reasons, or the broker's own where the broker gave it up. */
  readonly reason: string;
  readonly error?: FailureText;
  /** Attempts that failed. */
  readonly attempts: number;
  readonly queue: string;
  /** The topic it came from; absent for what was sent to the queue. */
  readonly topic?: string;
  readonly redrives: number;
  /** Epoch ms. */
  readonly firstFailedAt?: number;
  /** Epoch ms. */
  readonly deadAt?: number;
  /** Absent where the envelope cannot be read; then `delivery` has the bytes. */
  readonly message?: Message;
  readonly delivery: Delivery;
}

/** A letter with what is needed to move it. */
export interface Letter {
  readonly letter: DeadLetter;
  readonly bookkeeping: Bookkeeping;
}

const PAGE = 100;
const WINDOW = 1_000;
/** A lane that brings nothing for this long is at its end. */
const IDLE_MS = 2_000;
/** The same once all were seen that it was said to hold. */
const ALL_SEEN_MS = 250;

/** Reads a dead letter, whoever gave it up. */
export async function readLetter({ name: queue, codec }: DeadLane, delivery: Delivery): Promise<Letter> {
  const bookkeeping = readBookkeeping(delivery.headers[BOOKKEEPING_HEADER]) ?? { attempt: 1, queue };
  const plain = codec === undefined ? delivery : await undo(codec, delivery);
  const message = 'poison' in plain ? undefined : tryDecode(plain);
  const { attempt, topic, error, redrives = 0, firstFailedAt, deadAt } = bookkeeping;
  const letter: DeadLetter = {
    id: message?.metadata.id ?? bookkeeping.id ?? uuidv5(queue, delivery.position),
    type: message?.type ?? 'unknown',
    reason: bookkeeping.reason ?? delivery.brokerReason ?? 'unknown',
    attempts: attempt,
    queue,
    redrives,
    delivery,
    ...(error === undefined ? {} : { error }),
    ...(topic === undefined ? {} : { topic }),
    ...(firstFailedAt === undefined ? {} : { firstFailedAt }),
    ...(deadAt === undefined ? {} : { deadAt }),
    ...(message === undefined ? {} : { message }),
  };
  return { letter, bookkeeping };
}

/** Where letters are read. */
export interface DeadLane {
  readonly driver: Driver;
  readonly queue: Queue;
  /** The queue as applications name it. */
  readonly name: string;
  readonly clock: Clock;
  readonly codec: Codec | undefined;
}

/** Every dead letter of a queue, without taking any. A letter that a crash stored twice is listed once. */
export async function* listLetters(
  open: () => Promise<DeadLane>,
  signal: AbortSignal | undefined,
): AsyncGenerator<DeadLetter> {
  const lane = await open();
  const seen = new Set<string>();
  for await (const delivery of lane.driver.browse === undefined ? taken(lane, signal) : browsed(lane, signal)) {
    const { letter } = await readLetter(lane, delivery);
    const key = `${keyOf(letter)}\0${letter.redrives}`;
    if (seen.has(key)) continue;
    seen.add(key);
    yield letter;
  }
}

/** `letters`, each step of which is awaited within `kept`. */
export function eachIn<T>(letters: AsyncGenerator<T>, kept: <R>(step: Promise<R>) => Promise<R>): AsyncIterator<T> {
  return { next: () => kept(letters.next()), return: () => kept(letters.return(undefined)) };
}

async function* browsed({ driver, queue }: DeadLane, signal: AbortSignal | undefined): AsyncGenerator<Delivery> {
  let after: string | undefined;
  try {
    do {
      signal?.throwIfAborted();
      const page = await driver.browse?.(queue, after, PAGE);
      if (page === undefined) return;
      after = page.after;
      yield* page.letters;
    } while (after !== undefined);
  } finally {
    // The listing was left early: the adapter holds letters for the next page.
    if (after !== undefined) await driver.browse?.(queue, after, 0);
  }
}

async function* taken({ driver, queue, clock }: DeadLane, signal: AbortSignal | undefined): AsyncGenerator<Delivery> {
  // All are held until the end, or they would be met again: so what may be held grows with what was listed.
  let window = WINDOW;
  let listed = 0;
  const subscription = await driver.subscribe(queue, 'dead', { maxInFlight: window, onLost: () => undefined });
  try {
    for await (const batch of untilIdle(subscription, clock, { signal })) {
      listed += batch.length;
      if (listed + PAGE > window) await subscription.resize((window *= 2));
      yield* batch;
    }
    signal?.throwIfAborted();
  } finally {
    await subscription.close(clock.now() + 5_000);
  }
}

/** What tells letters apart: an id is unique for its source only. */
export function keyOf({ id, message }: DeadLetter): string {
  return `${message?.metadata.source ?? ''}\0${id}`;
}

export interface IdleOptions {
  readonly signal?: AbortSignal | undefined;
  readonly expected?: number | undefined;
  /** What a dead process held comes again by `leaseMs`: that long is waited for what the lane still holds. */
  readonly hidden?: { readonly leaseMs: number; readonly isAtEnd: () => Promise<boolean> } | undefined;
}

/** Batches until the lane brings nothing more; soon after `expected` letters, where that is known. */
export async function* untilIdle(
  subscription: Subscription,
  clock: Clock,
  { signal, expected = Number.POSITIVE_INFINITY, hidden }: IdleOptions = {},
): AsyncGenerator<readonly Delivery[]> {
  let broughtAt = clock.now();
  for (let received = 0; ;) {
    const idle = new AbortController();
    const onAbort = (): void => idle.abort();
    const cancel = clock.after(received >= expected ? ALL_SEEN_MS : IDLE_MS, onAbort);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) idle.abort();
    try {
      const batch = await subscription.receive(PAGE, idle.signal);
      if (batch.length === 0) {
        const waits = hidden !== undefined && signal?.aborted !== true;
        if (waits && clock.now() < broughtAt + hidden.leaseMs + IDLE_MS && !(await hidden.isAtEnd())) continue;
        return;
      }
      broughtAt = clock.now();
      received += batch.length;
      yield batch;
    } finally {
      cancel();
      signal?.removeEventListener('abort', onAbort);
    }
  }
}

/** How many letters a lane holds, where the broker tells. */
export async function countLetters({ driver, queue }: DeadLane): Promise<number | undefined> {
  return (await driver.admin?.depth(queue).catch(() => undefined))?.deadLettered;
}

function tryDecode(delivery: Plain): Message | undefined {
  try {
    return decode(delivery);
  } catch (error) {
    if (WaybillError.is(error)) return undefined;
    throw error;
  }
}
