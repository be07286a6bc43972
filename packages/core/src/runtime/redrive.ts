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

/** Letters that stay are held until the end, so that they are not met again; beyond this many they are appended anew. */
const MOST_HELD = 1_000;

/**
 * Moves dead letters back to the queue they came from. A letter is accepted only after its copy is stored, so a kill
 * loses nothing. It ends by itself: letters that died after it began, or that it has seen, are past its end.
 */
export async function redrive(environment: RedriveEnvironment, options: RedriveOptions): Promise<RedriveResult> {
  const { driver, queue, clock } = environment;
  const expected = await countLetters(environment);
  let lost: WaybillError | undefined;
  const subscription = await driver.subscribe(queue, 'dead', {
    maxInFlight: MOST_HELD + 100,
    onLost: (_, cause) => {
      lost = cause;
    },
  });
  const walk = new Walk(environment, options, subscription);
  try {
    for await (const batch of untilIdle(subscription, clock, { signal: options.signal, expected })) {
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
  #held = 0;
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
      // Died after the walk began, or was seen: it stays with us until the subscription gives it back.
      if (diedAgain || this.#kept.has(key)) continue;
      ended = moved === undefined && this.#redriven >= (this.#options.max ?? Number.POSITIVE_INFINITY);
      if (ended) break;
      const copy = this.#copy(letter);
      if (copy === 'hold') continue;
      if (copy !== 'twin') copies.push(copy);
      settled.push({ delivery, action: 'accept' });
    }
    if (copies.length > 0) await this.#environment.store(copies);
    if (settled.length > 0) await this.#subscription.settle(settled).catch(ignoreLost);
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
    this.#held += 1;
    return this.#held <= MOST_HELD ? 'hold' : appendedAnew(this.#environment, letter);
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
