import { randomBytes, randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { type Page, pause, type Queue, systemClock, WaybillError } from '@waybill/core/driver';
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
/** A walk that takes longer than its leases meets what it holds again; so often in a row, and it is at its end. */
const MOST_KNOWN_ROUNDS = 5;
/** What a dead process held comes again that soon after its lease. */
const LATE_MS = 2_000;
/** Two that list at once give way for times of their own: else they would take from each other at the same moments. */
const GIVE_WAY_MS = { least: 50, most: 1_000 } as const;
/** Listings that may still be continued; older ones are forgotten, and their leases let go. */
const MOST_LISTINGS = 32;

interface Listing {
  readonly queue: string;
  readonly entity: string;
  readonly receiver: SqsReceiver;
  /** What this walk holds, by position, with the newest handle. */
  readonly taken: Map<string, SqsDelivery>;
  /** Positions of all that was listed. */
  readonly listed: Set<string>;
  /** When it last met a letter that it had not listed, or began. */
  broughtAt: number;
  complete: boolean;
}

/**
 * Lists dead letters by taking them, holding all that comes until nothing more does, and giving all back. While the lane
 * has more than was listed, somebody else holds letters: then it gives back what it holds and walks again after a moment.
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
    const entity = deadEntity(queue);
    const waiting = waitingOf({ leaseMs, pollSeconds }, 'dead');
    const source = { clients: this.#clients, lookup: this.#lookup, entity, lane: 'dead' } as const;
    const listing: Listing = {
      queue: queue.name,
      entity,
      receiver: new SqsReceiver({ ...source, ...waiting }),
      taken: new Map(),
      listed: new Set(),
      broughtAt: systemClock.now(),
      complete: false,
    };
    this.#listings.set(token, listing);
    for (const [oldest] of this.#listings) {
      if (this.#listings.size <= MOST_LISTINGS) break;
      this.#listings.delete(oldest);
    }
    return listing;
  }

  /** As many as come at once; none at the end of the lane. */
  async #read(listing: Listing, max: number): Promise<readonly SqsDelivery[]> {
    const { listed, taken } = listing;
    const letters: SqsDelivery[] = [];
    for (let known = 0; letters.length < max && !listing.complete;) {
      const wanted = Math.min(max - letters.length, MOST_OPEN * MOST_ENTRIES);
      const round = await this.#round(listing, wanted);
      known = round.every(({ position }) => taken.has(position)) ? known + 1 : 0;
      for (const letter of round) {
        taken.set(letter.position, letter);
        if (listed.has(letter.position)) continue;
        listed.add(letter.position);
        letters.push(letter);
        listing.broughtAt = systemClock.now();
      }
      if (round.length < wanted) listing.complete = await this.#isComplete(listing);
      if (round.length > 0 && known < MOST_KNOWN_ROUNDS) continue;
      if (letters.length > 0) break;
      if (!listing.complete) await this.#giveWay(listing);
      known = 0;
    }
    return letters;
  }

  /** Whether all that the lane has was listed, or what is missing was waited for long enough. */
  async #isComplete({ entity, listed, broughtAt }: Listing): Promise<boolean> {
    if (this.#closed.signal.aborted) return true;
    if (systemClock.now() > broughtAt + this.#settings.leaseMs + LATE_MS) return true;
    // Without the right to ask, a listing ends where nothing comes.
    const counts = await this.#queues.counts(entity).catch(() => undefined);
    return counts === undefined || counts.ready + counts.inFlight + counts.delayed <= listed.size;
  }

  async #giveWay(listing: Listing): Promise<void> {
    await this.#giveBack(listing);
    await pause(systemClock, randomInt(GIVE_WAY_MS.least, GIVE_WAY_MS.most), this.#closed.signal);
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

  #end(token: string, listing: Listing): Promise<void> {
    this.#listings.delete(token);
    return this.#giveBack(listing);
  }

  async #giveBack({ taken }: Listing): Promise<void> {
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
