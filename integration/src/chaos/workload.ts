import { chance, mix } from './random.ts';

/** Each has a queue of its own on the one topic, and processes of its own. */
export const CONSUMERS = ['ordered', 'concurrent'] as const;
export type ConsumerName = (typeof CONSUMERS)[number];

export const PUBLISHERS = 3;
export const PROCESSES = 2;
const KEYS = 50;

/** Handlers that run at the same time in a process. */
export const CONCURRENCY = 16;
/** Short ones, so that a run sees all attempts; rounded up where a broker delays by whole seconds. */
export const RETRY_DELAYS_MS: readonly number[] = [100, 200, 400, 800];
export const ATTEMPTS: number = RETRY_DELAYS_MS.length + 1;
/** What fails by chance fails no later attempt than this, so that only poison becomes a dead letter. */
const LAST_CHANCE = 3;

const FAILING = 0.05;
const POISONED = 0.001;
/** Short runs have so much poison all the same. */
const LEAST_POISON = 20;
const SLOW = 6;
/** Where leases can be set they are shorter, so that slow handlers outlive them. */
export const LEASE_MS = 10_000;
const OUTLIVING_MS = 12_000;
const SLOW_MS = 3_000;
/** How many processes the killer takes with it before it lets itself be handled. */
export const KILLS = 3;

export type Deed = 'handle' | 'fail' | 'die';

/** What is published and what handlers do with it: all of it follows from the seed, so that no process has to be told. */
export class Workload {
  readonly messages: number;
  readonly seed: number;
  /** Kills the process of the concurrent consumer that handles it. */
  readonly killer: number;
  readonly #slow: ReadonlySet<number>;
  readonly #slowMs: number;

  /** `hasLeases`: slow handlers outlive them. */
  constructor(messages: number, seed: number, hasLeases = false) {
    this.messages = messages;
    this.seed = seed;
    this.#slowMs = hasLeases ? OUTLIVING_MS : SLOW_MS;
    const third = Math.max(1, Math.floor(messages / 3));
    this.killer = Math.min(messages - 1, third + (mix(seed, 1) % third));
    this.#slow = new Set(Array.from({ length: SLOW }, (_, nth) => mix(seed, 2, nth) % messages));
  }

  /** The message of this turn of a publisher. */
  index(publisher: number, turn: number): number {
    return turn * PUBLISHERS + publisher;
  }

  /** How many messages a publisher has. */
  turns(publisher: number): number {
    return Math.ceil((this.messages - publisher) / PUBLISHERS);
  }

  key(index: number): string {
    return `key-${index % (PUBLISHERS * KEYS)}`;
  }

  /** The place among the messages of its key, from 0. */
  sequence(index: number): number {
    return Math.floor(index / (PUBLISHERS * KEYS));
  }

  /** The message before it of the same key; below 0 there is none. */
  before(index: number): number {
    return index - PUBLISHERS * KEYS;
  }

  isPoison(consumer: ConsumerName, index: number): boolean {
    const share = Math.max(POISONED, LEAST_POISON / this.messages);
    return index !== this.killer && chance(this.seed, 3, CONSUMERS.indexOf(consumer), index) < share;
  }

  isKiller(consumer: ConsumerName, index: number): boolean {
    return consumer === 'concurrent' && index === this.killer;
  }

  deed(consumer: ConsumerName, index: number, attempt: number): Deed {
    if (this.isKiller(consumer, index)) return 'die';
    if (this.isPoison(consumer, index)) return 'fail';
    const fails = attempt <= LAST_CHANCE && chance(this.seed, 4, CONSUMERS.indexOf(consumer), index, attempt) < FAILING;
    return fails ? 'fail' : 'handle';
  }

  /** How long its handler works, in ms. */
  workMs(consumer: ConsumerName, index: number): number {
    if (this.#slow.has(index)) return this.#slowMs;
    const most = consumer === 'ordered' ? 20 : 40;
    return 3 + Math.floor(chance(this.seed, 5, CONSUMERS.indexOf(consumer), index) * most);
  }
}
