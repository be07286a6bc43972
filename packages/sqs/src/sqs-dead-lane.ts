import { randomBytes, randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { type Page, type Queue, systemClock, WaybillError } from '@waybill/core/driver';
import type { SqsDelivery } from './from-sqs-message.ts';
import type { SqsClients } from './sqs-client.ts';
import { MOST_ENTRIES } from './sqs-lanes.ts';
import type { SqsLookup } from './sqs-lookup.ts';
import { deadEntity } from './sqs-names.ts';
import type { Settings } from './sqs-options.ts';
import { SqsReceiver, waitingOf } from './sqs-receiver.ts';
import { SqsSettler } from './sqs-settler.ts';

/** Receives of one listing that are open at once. */
const MOST_OPEN = 4;
/** A listing that takes longer than its leases meets what it has listed again; so often in a row, and it is at its end. */
const MOST_KNOWN_ROUNDS = 5;
/** What a dead process held comes again that soon after its lease. */
const LATE_MS = 2_000;
/** Letters that are seen so often, one look after the other, are taken by no other listing. */
const MOST_SIGHTINGS = 25;
const HIDDEN = 'ApproximateNumberOfMessagesNotVisible';
/** Listings that may still be continued; older ones are forgotten, and their leases let go. */
const MOST_LISTINGS = 32;

interface Listing {
  readonly queue: string;
  readonly receiver: SqsReceiver;
  /** By position, with the newest handle. */
  readonly taken: Map<string, SqsDelivery>;
  /** When it last met a letter, or began. */
  broughtAt: number;
  /** The last receives brought nothing. */
  idle: boolean;
}

/**
 * Lists dead letters by taking them, holding all until the end and giving all back. Two that list one lane at the same
 * time come to their ends one after the other.
 */
export class SqsDeadLane {
  readonly #clients: SqsClients;
  readonly #lookup: SqsLookup;
  readonly #settings: Settings;
  readonly #settler: SqsSettler;
  readonly #listings = new Map<string, Listing>();
  readonly #closed = new AbortController();

  constructor(clients: SqsClients, lookup: SqsLookup, settings: Settings) {
    this.#clients = clients;
    this.#lookup = lookup;
    this.#settings = settings;
    this.#settler = new SqsSettler(clients, settings.leaseMs);
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
    const broughtAt = systemClock.now();
    const listing: Listing = { queue: queue.name, receiver, taken: new Map(), broughtAt, idle: false };
    this.#listings.set(token, listing);
    for (const [oldest] of this.#listings) {
      if (this.#listings.size <= MOST_LISTINGS) break;
      this.#listings.delete(oldest);
    }
    return listing;
  }

  /** As many as come at once; none at the end of the lane. */
  async #read(listing: Listing, max: number): Promise<readonly SqsDelivery[]> {
    const letters: SqsDelivery[] = [];
    for (let known = 0; letters.length < max && known < MOST_KNOWN_ROUNDS;) {
      if (listing.idle && (letters.length > 0 || !(await this.#hidesMore(listing)))) break;
      const round = await this.#round(listing, max - letters.length);
      listing.idle = round.length === 0;
      if (listing.idle) continue;
      listing.broughtAt = systemClock.now();
      const before = letters.length;
      for (const letter of round) {
        if (!listing.taken.has(letter.position)) letters.push(letter);
        listing.taken.set(letter.position, letter);
      }
      known = letters.length === before ? known + 1 : 0;
    }
    return letters;
  }

  /** Whether others hold letters: another listing, which gives them back at its end, or a process that died. */
  async #hidesMore(listing: Listing): Promise<boolean> {
    const { receiver, taken, broughtAt } = listing;
    const now = systemClock.now();
    if (now > broughtAt + this.#settings.leaseMs + LATE_MS) return false;
    const QueueUrl = await receiver.find();
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [HIDDEN] });
    // Without the right to ask, a listing ends where nothing comes.
    const { Attributes } = await this.#clients.sqs.send(command).catch(() => ({ Attributes: undefined }));
    const ours = [...taken.values()].filter(({ leaseUntil }) => leaseUntil > now).length;
    const others = Number(Attributes?.[HIDDEN] ?? 0) - ours;
    if (others > ours || (others === ours && ours > 0 && randomInt(2) === 0)) await this.#standBack(listing);
    return others > 0;
  }

  /** Of two listings that wait for what the other holds, the one that holds less lets the other come to its end first. */
  async #standBack({ receiver, taken, broughtAt }: Listing): Promise<void> {
    const letters = [...taken.values()].filter(({ leaseUntil }) => leaseUntil > systemClock.now());
    if (letters.length === 0) return;
    await this.#settler.release(letters);
    for (const letter of letters) letter.leaseUntil = 0;
    const until = broughtAt + this.#settings.leaseMs + LATE_MS;
    for (let seen = 0; seen < MOST_SIGHTINGS && systemClock.now() < until;) {
      seen += await receiver.look(this.#closed.signal);
    }
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
