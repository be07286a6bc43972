import { Alarm, type Clock } from '@waybill/core/driver';
import { IdWindow } from './id-window.ts';
import { KeyedLine } from './keyed-line.ts';
import { PlainLine, type Line } from './line.ts';
import type { StoredMessage } from './stored-message.ts';

/** 'any': to whoever asks. 'one-process': to the oldest subscription. 'key': a key to one subscription at a time. */
export type HandOutRule = 'any' | 'one-process' | 'key';

/** A subscription, as its lane sees it. */
export interface Holder {
  readonly waits: boolean;
  readonly held: Iterable<StoredMessage>;
  readonly heldCount: number;
  /** There may be something: takes up to `max`. */
  wake(max: number): void;
}

export interface LaneOptions {
  readonly name: string;
  readonly rule: HandOutRule;
  readonly deduplicationMs: number;
  readonly clock: Clock;
}

/** One lane of one queue: what is ready, what is delayed, and who waits for it. */
export class MemoryLane {
  readonly name: string;
  readonly #exclusive: boolean;
  readonly #clock: Clock;
  readonly #line: Line;
  readonly #plain: PlainLine | undefined;
  readonly #ids: IdWindow | undefined;
  readonly #delayed: Alarm<StoredMessage>;
  #holders: readonly Holder[] = [];
  #sequence = 0;
  #turn = 0;
  #scheduled = false;

  constructor(options: LaneOptions) {
    this.name = options.name;
    this.#clock = options.clock;
    this.#exclusive = options.rule === 'one-process';
    this.#plain = options.rule === 'key' ? undefined : new PlainLine();
    this.#line = this.#plain ?? new KeyedLine();
    this.#ids = options.deduplicationMs > 0 ? new IdWindow(options.deduplicationMs) : undefined;
    this.#delayed = new Alarm((due) => this.#ready(due), options.clock);
  }

  get readyCount(): number {
    return this.#line.size;
  }

  get delayedCount(): number {
    return this.#delayed.size;
  }

  get heldCount(): number {
    return this.#holders.reduce((sum, holder) => sum + holder.heldCount, 0);
  }

  /** Swallows an id that was stored within the deduplication window, as brokers do. */
  store(stored: StoredMessage, dueAt: number): void {
    const now = this.#clock.now();
    if (this.#ids?.add(stored.message.id, now) === false) return;
    if (dueAt > now) this.#delayed.set(dueAt, stored);
    else this.#ready([stored]);
  }

  /** What the broker moves here itself is no new message to its deduplication. */
  move(stored: StoredMessage): void {
    this.#ready([stored]);
  }

  take(holder: Holder): StoredMessage | undefined {
    if (this.#exclusive && holder !== this.#holders[0]) return undefined;
    return this.#line.take(holder);
  }

  /** It was settled away: that may free its key, or room in its holder's window. */
  drop(stored: StoredMessage): void {
    this.#line.drop(stored);
    this.wake();
  }

  putBack(returned: readonly StoredMessage[]): void {
    for (const stored of returned.toSorted((a, b) => b.sequence - a.sequence)) this.#line.putBack(stored);
    this.wake();
  }

  /** Letters behind a place, held ones included, in order. Only where the rule is not 'key'. */
  after(sequence: number, max: number): StoredMessage[] {
    const held = this.#holders.flatMap((holder) => [...holder.held]).filter((stored) => stored.sequence > sequence);
    const found = [...(this.#plain?.after(sequence, max) ?? []), ...held];
    return found.toSorted((a, b) => a.sequence - b.sequence).slice(0, max);
  }

  /** Forgets what is ready and delayed; what is held ends with its holder. */
  purge(): void {
    this.#line.clear();
    this.#delayed.clear();
  }

  attach(holder: Holder): void {
    this.#holders = [...this.#holders, holder];
  }

  /** The next in line takes over an exclusive queue. */
  detach(holder: Holder): void {
    this.#holders = this.#holders.filter((other) => other !== holder);
    this.#line.forget(holder);
    this.wake();
  }

  position(stored: StoredMessage): string {
    return `${this.name}@${stored.sequence}`;
  }

  /** One turn later, so that what one caller stores goes out together. */
  wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#handOut();
    });
  }

  #handOut(): void {
    const waiting = this.#holders.filter((holder) => holder.waits);
    if (waiting.length === 0 || this.#line.size === 0) return;
    const share = this.#exclusive ? this.#line.size : Math.ceil(this.#line.size / waiting.length);
    this.#turn = (this.#turn + 1) % waiting.length;
    for (const holder of [...waiting.slice(this.#turn), ...waiting.slice(0, this.#turn)]) holder.wake(share);
  }

  #ready(messages: readonly StoredMessage[]): void {
    for (const stored of messages) {
      this.#sequence += 1;
      stored.sequence = this.#sequence;
      this.#line.push(stored);
    }
    this.wake();
  }
}
