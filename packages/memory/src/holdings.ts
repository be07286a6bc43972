import type { Clock, Delivery } from '@waybill/core/driver';
import type { StoredMessage } from './stored-message.ts';

export interface Terms {
  /** How long a hand-out or an extension lasts; Infinity: until the connection goes. */
  readonly leaseMs: number;
  readonly maxHoldMs: number;
}

interface Hold {
  readonly stored: StoredMessage;
  readonly since: number;
  until: number;
}

/** What one subscription holds unsettled, with one timer for all its leases. */
export class Holdings {
  readonly #terms: Terms;
  readonly #clock: Clock;
  readonly #onLapse: (lapsed: ReadonlyMap<Delivery, StoredMessage>) => void;
  readonly #holds: Map<Delivery, Hold> = new Map();
  #cancel: (() => void) | undefined;
  #nextLapse = Number.POSITIVE_INFINITY;

  constructor(terms: Terms, clock: Clock, onLapse: (lapsed: ReadonlyMap<Delivery, StoredMessage>) => void) {
    this.#terms = terms;
    this.#clock = clock;
    this.#onLapse = onLapse;
  }

  get size(): number {
    return this.#holds.size;
  }

  *messages(): Generator<StoredMessage> {
    for (const hold of this.#holds.values()) yield hold.stored;
  }

  /** Counts the hand-out. */
  add(stored: StoredMessage, position: string): Delivery {
    const since = this.#clock.now();
    stored.deliveries += 1;
    const hold: Hold = { stored, since, until: this.#until(since, since) };
    const delivery = toDelivery(stored, position, this.#shown(hold));
    this.#holds.set(delivery, hold);
    this.#watch(hold.until);
    return delivery;
  }

  /** Ends the holding; undefined when it was not held any more. */
  remove(delivery: Delivery): StoredMessage | undefined {
    const hold = this.#holds.get(delivery);
    if (hold === undefined) return undefined;
    this.#holds.delete(delivery);
    return hold.stored;
  }

  /** The new end of the lease, 0 when it was not held any more. */
  extend(delivery: Delivery): number {
    const hold = this.#holds.get(delivery);
    if (hold === undefined) return 0;
    hold.until = this.#until(this.#clock.now(), hold.since);
    return this.#shown(hold);
  }

  /** Takes out everything. */
  clear(): ReadonlyMap<Delivery, StoredMessage> {
    const all = new Map([...this.#holds].map(([delivery, hold]) => [delivery, hold.stored]));
    this.#holds.clear();
    this.#cancel?.();
    this.#cancel = undefined;
    this.#nextLapse = Number.POSITIVE_INFINITY;
    return all;
  }

  /** Gives up what has run out by now, also when its timer is late. */
  sweep(): void {
    const now = this.#clock.now();
    if (now < this.#nextLapse) return;
    const lapsed = new Map<Delivery, StoredMessage>();
    let next = Number.POSITIVE_INFINITY;
    for (const [delivery, hold] of this.#holds) {
      if (hold.until <= now) lapsed.set(delivery, hold.stored);
      else next = Math.min(next, hold.until);
    }
    for (const delivery of lapsed.keys()) this.#holds.delete(delivery);
    this.#nextLapse = Number.POSITIVE_INFINITY;
    this.#watch(next);
    if (lapsed.size > 0) this.#onLapse(lapsed);
  }

  #until(from: number, since: number): number {
    return Math.min(from + this.#terms.leaseMs, since + this.#terms.maxHoldMs);
  }

  /** A lease without a clock has no end that its holder can know. */
  #shown(hold: Hold): number {
    return this.#terms.leaseMs === Number.POSITIVE_INFINITY ? this.#terms.leaseMs : hold.until;
  }

  #watch(until: number): void {
    if (until >= this.#nextLapse) return;
    this.#cancel?.();
    this.#nextLapse = until;
    this.#cancel = this.#clock.after(until - this.#clock.now(), () => {
      this.#cancel = undefined;
      if (this.#clock.now() >= this.#nextLapse) return this.sweep();
      // A clock may wake early: the system's does beyond 24.8 days.
      this.#nextLapse = Number.POSITIVE_INFINITY;
      this.#watch(until);
    });
  }
}

/** `raw` is the broker's own record. */
export function toDelivery(stored: StoredMessage, position: string, leaseUntil: number): Delivery {
  const { contentType, body, headers, key } = stored.message;
  return {
    contentType,
    body,
    headers,
    ...(key === undefined ? undefined : { key }),
    deliveries: stored.deliveries,
    leaseUntil,
    ...(stored.brokerReason === undefined ? undefined : { brokerReason: stored.brokerReason }),
    position,
    raw: stored,
  };
}
