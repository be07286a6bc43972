import { randomBytes } from 'node:crypto';
import { deadName, type Delivery, type Page, type Queue, systemClock, WaybillError } from '@waybill/core/driver';
import type { Channel, Message } from 'amqplib';
import { fromRabbitmqMessage } from './from-rabbitmq-message.ts';
import { closeQuietly, type RabbitmqConnection } from './rabbitmq-connection.ts';
import { toWaybillError } from './rabbitmq-error.ts';
import type { RabbitmqLock } from './rabbitmq-lock.ts';

/** A listing that nobody continues must not keep others from the letters. */
const IDLE_MS = 10_000;
/** In one lot; a basic.qos takes 65,535. */
const LARGEST_LOT = 1_000;
/** A letter that was counted and does not come was purged meanwhile. */
const LOT_MS = 10_000;
/** Listings that may still be continued; older ones are forgotten. */
const MOST_LISTINGS = 32;

/** What one channel has taken of a dead lane. */
interface Reading {
  readonly channel: Channel;
  readonly origin: string;
  readonly unlock: () => Promise<void>;
  /** The last of each lot taken: a lot goes back in one frame. */
  readonly lots: Message[];
  /** Letters that were there at the start and are not taken yet. */
  left: number;
}

interface Listing {
  readonly queue: string;
  /** Positions of the letters on earlier pages: after a pause the reading starts at the head again. */
  readonly listed: Set<string>;
  reading: Reading | undefined;
  busy: boolean;
  cancelIdle: () => void;
}

/**
 * Lists dead letters by taking them, holding all until the end and giving all back. Meanwhile nobody else may read the
 * lane, or each would see what the other does not hold.
 */
export class RabbitmqDeadLane {
  readonly #connection: RabbitmqConnection;
  readonly #lock: RabbitmqLock;
  readonly #listings = new Map<string, Listing>();

  constructor(connection: RabbitmqConnection, lock: RabbitmqLock) {
    this.#connection = connection;
    this.#lock = lock;
  }

  async browse(queue: Queue, after: string | undefined, max: number): Promise<Page> {
    const token = after ?? randomBytes(9).toString('base64url');
    const listing = after === undefined ? this.#begin(token, queue.name) : this.#listings.get(after);
    if (listing === undefined) throw ended(queue.name);
    listing.cancelIdle();
    listing.busy = true;
    try {
      const letters = max > 0 ? await this.#read(listing, max) : [];
      if (max > 0 && (listing.reading?.left ?? 0) > 0) return { letters, after: token };
      this.#listings.delete(token);
      await this.#stop(listing);
      return { letters };
    } catch (cause) {
      await this.#stop(listing);
      throw toWaybillError(cause, `list the dead letters of queue "${queue.name}"`);
    } finally {
      listing.busy = false;
      listing.cancelIdle = systemClock.after(IDLE_MS, () => this.#pause(listing));
    }
  }

  #begin(token: string, queue: string): Listing {
    const listing: Listing = { queue, listed: new Set(), reading: undefined, busy: true, cancelIdle: () => undefined };
    this.#listings.set(token, listing);
    for (const [oldest] of this.#listings) {
      if (this.#listings.size <= MOST_LISTINGS) break;
      this.#listings.delete(oldest);
    }
    return listing;
  }

  async #read(listing: Listing, max: number): Promise<readonly Delivery[]> {
    listing.reading ??= await this.#open(listing);
    const { reading } = listing;
    const letters: Delivery[] = [];
    while (letters.length < max && reading.left > 0) {
      const lot = await takeLot(
        reading,
        deadName(listing.queue),
        Math.min(max - letters.length, reading.left, LARGEST_LOT),
      );
      for (const message of lot) {
        const letter = fromRabbitmqMessage(message, 'dead', reading.origin);
        if (listing.listed.has(letter.position)) continue;
        letters.push(letter);
        listing.listed.add(letter.position);
      }
    }
    return letters;
  }

  async #open(listing: Listing): Promise<Reading> {
    const unlock = await this.#lock.take(listing.queue, () => this.#pause(listing));
    try {
      const channel = await this.#connection.channel(() => {
        if (listing.reading?.channel === channel) void this.#stop(listing);
      });
      return { channel, origin: randomBytes(6).toString('hex'), unlock, lots: [], left: Number.POSITIVE_INFINITY };
    } catch (cause) {
      await unlock().catch(() => undefined);
      throw cause;
    }
  }

  #pause(listing: Listing): void {
    if (!listing.busy) void this.#stop(listing);
  }

  /** Everything back, in order, before the next reader may begin. */
  async #stop(listing: Listing): Promise<void> {
    listing.cancelIdle();
    const reading = listing.reading;
    listing.reading = undefined;
    if (reading === undefined) return;
    try {
      for (const last of reading.lots) reading.channel.nack(last, true, true);
      await reading.channel.close();
    } catch {
      // The channel is closed: the broker has them back.
      closeQuietly(reading.channel);
    }
    await reading.unlock().catch(() => undefined);
  }
}

function ended(queue: string): WaybillError {
  const message = `The listing of dead letters of queue "${queue}" has ended. List them from the start.`;
  return new WaybillError('INVALID_ARGUMENT', message);
}

/**
 * The first letter by basic.get: it is answered behind everything that others gave back before, so the count after it is
 * exact. The others by a consumer whose window is how many must come: basic.get takes a round trip each, and what was
 * taken so comes back in any order (seen from 33 on).
 */
async function takeLot(reading: Reading, queue: string, size: number): Promise<readonly Message[]> {
  const { channel, lots } = reading;
  if (reading.left === Number.POSITIVE_INFINITY) {
    const first = await channel.get(queue);
    reading.left = first === false ? 0 : (await channel.checkQueue(queue)).messageCount;
    if (first === false) return [];
    lots.push(first);
    return [first];
  }
  const lot = await consumeLot(channel, queue, size);
  const last = lot.at(-1);
  if (last !== undefined) lots.push(last);
  reading.left = lot.length < size ? 0 : reading.left - size;
  return lot;
}

async function consumeLot(channel: Channel, queue: string, size: number): Promise<readonly Message[]> {
  const lot: Message[] = [];
  await channel.prefetch(size);
  let full: () => void = () => undefined;
  const done = new Promise<void>((resolve) => {
    full = resolve;
  });
  channel.once('close', full);
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message !== null) lot.push(message);
    if (message === null || lot.length === size) full();
  });
  const cancelTimer = systemClock.after(LOT_MS, full);
  await done;
  cancelTimer();
  channel.off('close', full);
  // Nothing is on its way any more, so the place in the queue of what goes back is kept.
  await channel.cancel(consumerTag);
  return lot;
}
