import type { Delivery, OutgoingMessage, Queue, Settlement, Subscription } from '../driver/driver.ts';
import { BatchError, type WaybillError } from '../driver/errors.ts';
import { uuidv5 } from '../envelope/ids.ts';
import { BOOKKEEPING_HEADER, type Bookkeeping, writeBookkeeping } from '../failure/bookkeeping.ts';
import { copyId } from '../failure/copies.ts';
import {
  type DeadLane,
  type DeadLetter,
  type Letter,
  countLetters,
  keyOf,
  readLetter,
  untilIdle,
} from './dead-letters.ts';

export interface RedriveOptions {
  /** Which letters go back. @default all */
  readonly where?: (letter: DeadLetter) => boolean;
  /** How many at most. @default all */
  readonly max?: number;
  readonly signal?: AbortSignal;
}

export interface RedriveResult {
  /** Back in their queue, attempts from 1. */
  readonly redriven: number;
  /** Looked at and left. */
  readonly kept: number;
}

export interface RedriveEnvironment extends DeadLane {
  /** Resolves once all are stored; tried again while the broker is down. */
  readonly store: (messages: readonly OutgoingMessage[]) => Promise<void>;
}

/**
 * Letters that stay are held until the end, so that they are not met again. Beyond this many they are appended anew, or,
 * where the lane takes only what is rejected, more are held.
 */
const MOST_HELD = 1_000;
/** Room for what is on its way. */
const SPARE = 100;

/**
 * Moves dead letters back to the queue they came from. A letter is accepted only after its copy is stored, so a kill
 * loses nothing. It ends by itself: letters that died after it began, or that it has seen, are past its end.
 */
export async function redrive(environment: RedriveEnvironment, options: RedriveOptions): Promise<RedriveResult> {
  const { driver, queue, clock } = environment;
  const expected = await countLetters(environment);
  const { leaseMs } = driver.capabilities;
  let lost: WaybillError | undefined;
  const subscription = await driver.subscribe(queue, 'dead', {
    maxInFlight: MOST_HELD + SPARE,
    onLost: (_, cause) => {
      lost = cause;
    },
  });
  const walk = new Walk(environment, options, subscription);
  try {
    const hidden = leaseMs === undefined ? undefined : { leaseMs, isAtEnd: () => walk.isAtEnd() };
    for await (const batch of untilIdle(subscription, clock, { signal: options.signal, expected, hidden })) {
      if (lost !== undefined) throw lost;
      if (!(await walk.step(batch))) break;
    }
    options.signal?.throwIfAborted();
    return walk.result;
  } finally {
    await subscription.close(clock.now() + 5_000);
  }
}

class Walk {
  readonly #environment: RedriveEnvironment;
  readonly #options: RedriveOptions;
  readonly #subscription: Subscription;
  readonly #startedAt: number;
  /** By id, which redrive of it was moved. */
  readonly #moved = new Map<string, number>();
  readonly #kept = new Set<string>();
  /** Positions of the letters that stay with us until the subscription gives them back. */
  readonly #held = new Set<string>();
  #window = MOST_HELD + SPARE;
  #redriven = 0;

  constructor(environment: RedriveEnvironment, options: RedriveOptions, subscription: Subscription) {
    this.#environment = environment;
    this.#options = options;
    this.#subscription = subscription;
    this.#startedAt = environment.clock.now();
  }

  get result(): RedriveResult {
    return { redriven: this.#redriven, kept: this.#kept.size };
  }

  /** Whether the lane holds no more than what this walk holds itself, as far as the broker tells. */
  async isAtEnd(): Promise<boolean> {
    const left = await countLetters(this.#environment);
    return left === undefined || left <= this.#held.size;
  }

  /** False at the end of the walk. */
  async step(batch: readonly Delivery[]): Promise<boolean> {
    const copies: OutgoingMessage[] = [];
    const settled: Settlement[] = [];
    let ended = false;
    for (const delivery of batch) {
      const letter = await readLetter(this.#environment, delivery);
      const { redrives, deadAt = 0 } = letter.letter;
      const key = keyOf(letter.letter);
      const moved = this.#moved.get(key);
      const diedAgain = moved === undefined ? deadAt > this.#startedAt : redrives > moved;
      // Died after the walk began, or was seen.
      if (diedAgain || this.#kept.has(key)) {
        this.#held.add(delivery.position);
        continue;
      }
      ended = moved === undefined && this.#redriven >= (this.#options.max ?? Number.POSITIVE_INFINITY);
      if (ended) break;
      const copy = this.#copy(letter);
      if (copy === 'hold') continue;
      if (copy !== 'twin') copies.push(copy);
      settled.push({ delivery, action: 'accept' });
    }
    if (copies.length > 0) await this.#environment.store(copies);
    if (settled.length > 0) await this.#subscription.settle(settled).catch(ignoreLost);
    if (this.#held.size + SPARE > this.#window) await this.#subscription.resize((this.#window *= 2));
    return !ended;
  }

  /** The copy that replaces a letter; `twin`: a crash stored it twice, and its other copy was moved. */
  #copy(letter: Letter): OutgoingMessage | 'hold' | 'twin' {
    const { redrives } = letter.letter;
    const key = keyOf(letter.letter);
    if (this.#moved.has(key)) return 'twin';
    const { where } = this.#options;
    if (where === undefined || where(letter.letter)) {
      this.#moved.set(key, redrives);
      this.#redriven += 1;
      return backToWork(this.#environment, letter);
    }
    this.#kept.add(key);
    const appends = this.#held.size >= MOST_HELD && this.#environment.driver.capabilities.reject !== 'annotated';
    if (appends) return appendedAnew(this.#environment, letter);
    this.#held.add(letter.letter.delivery.position);
    return 'hold';
  }
}

function backToWork({ queue, name }: RedriveEnvironment, { letter, bookkeeping }: Letter): OutgoingMessage {
  const { topic } = bookkeeping;
  const next: Bookkeeping = {
    attempt: 1,
    queue: name,
    redrives: letter.redrives + 1,
    ...(topic === undefined ? {} : { topic }),
    ...(letter.message === undefined ? { id: letter.id } : {}),
  };
  return copyTo({ queue, lane: 'work' }, letter, copyId(copyBaseOf(letter), next, 'work'), next);
}

function appendedAnew({ queue }: RedriveEnvironment, { letter, bookkeeping }: Letter): OutgoingMessage {
  const hops = (bookkeeping.hops ?? 0) + 1;
  const id = `${copyId(copyBaseOf(letter), bookkeeping, 'dead')}h${hops}`;
  return copyTo({ queue, lane: 'dead' }, letter, id, { ...bookkeeping, hops });
}

function copyTo(
  { queue, lane }: { readonly queue: Queue; readonly lane: 'work' | 'dead' },
  letter: DeadLetter,
  id: string,
  bookkeeping: Bookkeeping,
): OutgoingMessage {
  const { delivery } = letter;
  const key = queue.ordered ? (letter.message?.metadata.key ?? delivery.key) : undefined;
  return {
    target: { queue: queue.name, lane },
    id,
    type: letter.type,
    contentType: delivery.contentType,
    body: delivery.body,
    headers: { ...delivery.headers, [BOOKKEEPING_HEADER]: writeBookkeeping(bookkeeping) },
    ...(key === undefined ? {} : { key }),
  };
}

function copyBaseOf({ id, message }: DeadLetter): string {
  return message?.foreign === true ? uuidv5(message.metadata.source, id) : id;
}

/** A letter whose copy is stored and that comes again is a duplicate, not a loss. */
function ignoreLost(error: unknown): void {
  if (BatchError.is(error) && error.failures.every((failure) => failure.error.code === 'LEASE_LOST')) return;
  throw error;
}
