import type { Clock } from '../driver/clock.ts';
import type { Delivery, Driver, Queue, Subscription } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { decode } from '../envelope/decode.ts';
import type { Message } from '../envelope/envelope.ts';
import { uuidv5 } from '../envelope/ids.ts';
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
/** A lane that brings nothing for this long is at its end. */
const IDLE_MS = 2_000;

/** Reads a dead letter, whoever gave it up. */
export function readLetter(queue: string, delivery: Delivery): Letter {
  const bookkeeping = readBookkeeping(delivery.headers[BOOKKEEPING_HEADER]) ?? { attempt: 1, queue };
  const message = tryDecode(delivery);
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
}

/** Every dead letter of a queue, without taking any. A letter that a crash stored twice is listed once. */
export async function* listLetters(lane: DeadLane, signal: AbortSignal | undefined): AsyncGenerator<DeadLetter> {
  const seen = new Set<string>();
  for await (const delivery of lane.driver.browse === undefined ? received(lane, signal) : browsed(lane, signal)) {
    const { letter } = readLetter(lane.name, delivery);
    const key = `${letter.id}\0${letter.redrives}`;
    if (seen.has(key)) continue;
    seen.add(key);
    yield letter;
  }
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

async function* received(
  { driver, queue, clock }: DeadLane,
  signal: AbortSignal | undefined,
): AsyncGenerator<Delivery> {
  const subscription = await driver.subscribe(queue, 'dead', { maxInFlight: 10_000, onLost: () => undefined });
  try {
    for await (const batch of untilIdle(subscription, clock, signal)) yield* batch;
    signal?.throwIfAborted();
  } finally {
    await subscription.close(clock.now() + 5_000);
  }
}

/** Batches until the lane brings nothing more. */
export async function* untilIdle(
  subscription: Subscription,
  clock: Clock,
  signal?: AbortSignal,
): AsyncGenerator<readonly Delivery[]> {
  for (;;) {
    const idle = new AbortController();
    const cancel = clock.after(IDLE_MS, () => idle.abort());
    const onAbort = (): void => idle.abort();
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) idle.abort();
    try {
      const batch = await subscription.receive(PAGE, idle.signal);
      if (batch.length === 0) return;
      yield batch;
    } finally {
      cancel();
      signal?.removeEventListener('abort', onAbort);
    }
  }
}

function tryDecode(delivery: Delivery): Message | undefined {
  try {
    return decode(delivery);
  } catch (error) {
    if (WaybillError.is(error)) return undefined;
    throw error;
  }
}
