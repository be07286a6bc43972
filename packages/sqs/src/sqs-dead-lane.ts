import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Page, type Queue, systemClock, WaybillError } from '@waybill/core/driver';
import type { SqsDelivery } from './from-sqs-message.ts';
import type { SqsClients } from './sqs-client.ts';
import { MOST_ENTRIES } from './sqs-lanes.ts';
import type { SqsLookup } from './sqs-lookup.ts';
import { deadEntity } from './sqs-names.ts';
import type { Settings } from './sqs-options.ts';
import { SqsQueues } from './sqs-queues.ts';
import { SqsReceiver, waitingOf } from './sqs-receiver.ts';
import { SqsSettler } from './sqs-settler.ts';

/** Receives of one listing that are open at once. */
const MOST_OPEN = 4;
/** A listing that takes longer than its leases meets what it has listed again; so often in a row, and it is at its end. */
const MOST_KNOWN_ROUNDS = 5;
/** Listings that may still be continued; older ones are forgotten, and their leases let go. */
const MOST_LISTINGS = 32;
/** Two that list one lane give way for times of their own, or they would take from each other for ever. */
const GIVE_WAY_MS = { least: 100, most: 1_500 } as const;
/** How much longer than a lease is waited for what a dead process holds. */
const SPARE_MS = 2_000;

interface Listing {
  readonly queue: string;
  readonly entity: string;
  readonly receiver: SqsReceiver;
  /** What is held, by position, with the newest handle. */
  readonly taken: Map<string, SqsDelivery>;
  /** Positions of what was listed. */
  readonly listed: Set<string>;
  /** Until when others may hold letters that were not listed. */
  waitUntil: number;
}

/**
 * Lists dead letters by taking them, holding all until the end and giving all back. While the lane has more than that,
 * somebody else holds them: what is held is given back for a moment, and taken anew. So a listing has all letters, unless
 * somebody holds one for longer than a lease.
 */
export class SqsDeadLane {
  readonly #clients: SqsClients;
  readonly #lookup: SqsLookup;
  readonly #settings: Settings;
  readonly #settler: SqsSettler;
  readonly #queues: SqsQueues;
  readonly #listings = new Map<string, Listing>();
  readonly #closed = new AbortController();

  constructor(clients: SqsClients, lookup: SqsLookup, settings: Settings) {
    this.#clients = clients;
    this.#lookup = lookup;
    this.#settings = settings;
    this.#settler = new SqsSettler(clients, settings.leaseMs);
    this.#queues = new SqsQueues(clients, lookup);
    // Every open receive listens to it.
    setMaxListeners(0, this.#closed.signal);
  }

  async browse(queue: Queue, after: string | undefined, max: number): Promise<Page> {
    const token = after ?? randomBytes(9).toString('base64url');
    const listing = after === undefined ? this.#begin(token, queue) : this.#listings.get(after);
    if (listing === undefined) throw ended(queue.name);
    try {
      const letters = max > 0 ? await this.#read(listing, max) : [];
      if (letters.length > 0) return { letters, after: token };
      await this.#end(token, listing);
      return { letters };
    } catch (error) {
      await this.#end(token, listing);
      throw error;
    }
  }

  /** Gives back what listings hold that nobody continued. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all([...this.#listings].map(([token, listing]) => this.#end(token, listing)));
  }

  #begin(token: string, queue: Queue): Listing {
    const { leaseMs, pollSeconds } = this.#settings;
    const receiver = new SqsReceiver({
      clients: this.#clients,
      lookup: this.#lookup,
      entity: deadEntity(queue),
      lane: 'dead',
      ...waitingOf({ leaseMs, pollSeconds }, 'dead'),
    });
    const listing: Listing = {
      queue: queue.name,
      entity: deadEntity(queue),
      receiver,
      taken: new Map(),
      listed: new Set(),
      waitUntil: systemClock.now() + leaseMs + SPARE_MS,
    };
    this.#listings.set(token, listing);
    for (const [oldest] of this.#listings) {
      if (this.#listings.size <= MOST_LISTINGS) break;
      this.#listings.delete(oldest);
    }
    return listing;
  }

  /** None only at the end of the lane. */
  async #read(listing: Listing, max: number): Promise<readonly SqsDelivery[]> {
    const letters: SqsDelivery[] = [];
    for (let known = 0; letters.length < max && known < MOST_KNOWN_ROUNDS;) {
      const round = await this.#round(listing, max - letters.length);
      if (round.length === 0 && (letters.length > 0 || !(await this.#giveWay(listing)))) break;
      known = round.length > 0 && round.every(({ position }) => listing.taken.has(position)) ? known + 1 : 0;
      for (const letter of round) {
        listing.taken.set(letter.position, letter);
        if (listing.listed.has(letter.position)) continue;
        listing.listed.add(letter.position);
        letters.push(letter);
      }
    }
    if (letters.length > 0) listing.waitUntil = systemClock.now() + this.#settings.leaseMs + SPARE_MS;
    return letters;
  }

  /** False where nobody else holds letters, or has for too long. */
  async #giveWay(listing: Listing): Promise<boolean> {
    const { entity, taken, waitUntil } = listing;
    if (this.#closed.signal.aborted || systemClock.now() >= waitUntil) return false;
    const { ready, inFlight, delayed } = await this.#queues.counts(entity);
    if (ready + inFlight + delayed <= taken.size) return false;
    const letters = [...taken.values()];
    taken.clear();
    await this.#settler.release(letters);
    const { least, most } = GIVE_WAY_MS;
    // It keeps the process alive, which the clock of the seam does not: somebody awaits the listing.
    await sleep(least + Math.random() * (most - least), undefined, { signal: this.#closed.signal }).catch(
      () => undefined,
    );
    return true;
  }

  async #round(listing: Listing, max: number): Promise<readonly SqsDelivery[]> {
    const open = Math.min(Math.ceil(max / MOST_ENTRIES), MOST_OPEN);
    const { signal } = this.#closed;
    const rounds = await Promise.all(
      Array.from({ length: open }, (_, index) =>
        listing.receiver.receive(Math.min(max - index * MOST_ENTRIES, MOST_ENTRIES), signal),
      ),
    );
    return rounds.flat().toSorted((left, right) => sentAt(left) - sentAt(right));
  }

  async #end(token: string, { taken }: Listing): Promise<void> {
    this.#listings.delete(token);
    const letters = [...taken.values()];
    taken.clear();
    await this.#settler.release(letters);
  }
}

function sentAt({ raw }: SqsDelivery): number {
  return Number(raw.Attributes?.SentTimestamp ?? 0);
}

function ended(queue: string): WaybillError {
  const message = `The listing of dead letters of queue "${queue}" has ended. List them from the start.`;
  return new WaybillError('INVALID_ARGUMENT', message);
}
