import { type Place, placeName, type StoredRecord } from './client/port.ts';
import { KafkaDelivery } from './from-kafka-message.ts';
import { Ledger } from './kafka-ledger.ts';
import type { Progress } from './kafka-offsets.ts';

/** Read ahead of the handlers; half of it left, and reading goes on. */
const MOST_RECORDS = 1_000;
const MOST_BYTES = 1_048_576;
/** Of a delay topic, more is looked at: what is due first need not be stored first. */
const MOST_DELAYED = 2_000;
/** Finished or not, behind the oldest that is not: so far others go on while one is stuck. */
const MOST_BEYOND = 20_000;

/** One partition while it is ours: what was read of it and waits, what is handed out, what is finished. */
export class KafkaPartition {
  readonly place: Place;
  readonly name: string;
  /** Its records are due at their time. */
  readonly isDelay: boolean;
  /** Handed out and not settled. */
  readonly held: Set<KafkaDelivery> = new Set();
  live = true;
  /** Another process may have had it since: nothing is handed out before that is known. */
  doubted = false;
  /** It goes to another process once nothing of it is in hand: nothing more is handed out. */
  leaving = false;
  /** There is something to commit. */
  dirty = false;
  #ledger: Ledger | undefined;
  #waiting: KafkaDelivery[] = [];
  #head = 0;
  #asleep = 0;
  #bytes = 0;
  #full = false;

  constructor(place: Place, isDelay: boolean) {
    this.place = place;
    this.name = placeName(place);
    this.isDelay = isDelay;
  }

  /** `counts`: whether hand-outs are counted. */
  open(progress: Progress, counts: boolean): void {
    this.#ledger = new Ledger(progress, counts);
  }

  /** Undefined until it is known what is finished of it. */
  get ledger(): Ledger | undefined {
    return this.#ledger;
  }

  /** The next offset to read; undefined while nothing is wanted. */
  get wanted(): number | undefined {
    return this.live && !this.doubted && !this.#full ? this.#ledger?.next : undefined;
  }

  /** Resolves what was read into deliveries; `sleep` takes those that are not due. Whether any can be handed out. */
  add(
    records: readonly StoredRecord[],
    next: number,
    sleep: (dueAt: number, delivery: KafkaDelivery) => void,
  ): boolean {
    const ledger = this.#ledger as Ledger;
    const now = this.isDelay ? Date.now() : 0;
    for (const record of records) {
      const slot = ledger.add(record.offset);
      if (slot === undefined) continue;
      const delivery = new KafkaDelivery(record, slot, this);
      this.#bytes += delivery.body.byteLength;
      if (this.isDelay && record.timestamp > now) {
        this.#asleep += 1;
        sleep(record.timestamp, delivery);
      } else this.#waiting.push(delivery);
    }
    ledger.skipTo(next);
    // Finished by an earlier owner, or not for readers: the offset can go on.
    if (ledger.size === 0) this.dirty = true;
    this.#full = this.#isAbove(1);
    return this.hasWaiting;
  }

  /** What slept is due. */
  awake(delivery: KafkaDelivery): void {
    this.#asleep -= 1;
    this.#waiting.push(delivery);
  }

  get hasWaiting(): boolean {
    return this.#head < this.#waiting.length;
  }

  /** The next `max` in their order; whether reading can go on is said by {@link refill}. */
  take(max: number, into: KafkaDelivery[]): void {
    const end = Math.min(this.#waiting.length, this.#head + max);
    for (; this.#head < end; this.#head += 1) {
      const delivery = this.#waiting[this.#head] as KafkaDelivery;
      this.#bytes -= delivery.body.byteLength;
      this.held.add(delivery);
      into.push(delivery);
    }
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    } else if (this.#head > 256 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
  }

  /** It is handed out again, before what comes after it. */
  putBack(delivery: KafkaDelivery): void {
    this.held.delete(delivery);
    delivery.slot.handed = false;
    this.dirty = true;
    this.#bytes += delivery.body.byteLength;
    const rest = this.#waiting.slice(this.#head);
    const at = rest.findIndex(({ slot }) => slot.offset > delivery.slot.offset);
    rest.splice(at === -1 ? rest.length : at, 0, delivery);
    this.#waiting = rest;
    this.#head = 0;
  }

  finish(delivery: KafkaDelivery): void {
    delivery.slot.done = true;
    this.held.delete(delivery);
    this.dirty = true;
  }

  /** Whether there is room again after there was none. */
  refill(): boolean {
    if (!this.#full || this.#isAbove(0.5)) return false;
    this.#full = false;
    return true;
  }

  #isAbove(part: number): boolean {
    const most = this.isDelay ? MOST_DELAYED : MOST_RECORDS;
    const count = this.#waiting.length - this.#head + this.#asleep;
    const beyond = this.#ledger?.size ?? 0;
    return count >= most * part || this.#bytes >= MOST_BYTES * part || beyond >= MOST_BEYOND * part;
  }
}
