import type { Delivery } from '../driver/driver.ts';
import type { WaybillError } from '../driver/errors.ts';
import { uuidv5 } from '../envelope/ids.ts';
import type { Message } from '../envelope/envelope.ts';
import type { Bookkeeping, DeadReason } from '../failure/bookkeeping.ts';
import type { CopySource } from '../failure/copies.ts';

/** Why a delivery is never given to its handler. */
export interface Poison {
  readonly reason: DeadReason;
  readonly error: WaybillError;
}

/** What a delivery turned out to be. */
export interface Decoded {
  readonly message?: Message;
  readonly poison?: Poison;
}

/** One delivery, from its arrival until it is settled or lost. */
export class Task implements CopySource {
  readonly delivery: Delivery;
  bookkeeping: Bookkeeping;
  /** Undefined where the envelope cannot be read, or is not read yet. */
  message: Message | undefined;
  poison: Poison | undefined;
  /** Of a type that nobody bound, from a broker that does not filter. */
  unbound = false;
  /** Messages with the same one are handled one after the other. */
  chainKey: string | undefined;
  /** Epoch ms until which it is ours; Infinity where leases have no clock. */
  leaseUntil: number;
  readonly leaseMs: number;
  /** The broker has it back: nothing of it is settled, copied or started any more. */
  lost = false;
  /** It may have been lost while this process was frozen: nothing is settled or copied before the broker said it is ours. */
  unverified = false;
  /** Its handler has not returned. */
  running = false;
  /** Its outcome is decided; what follows is copies and settlement, and it never runs again. */
  ending = false;
  /** Of an ordered message that failed: when its next attempt is due. Epoch ms. */
  dueAt: number | undefined;
  controller: AbortController | undefined;
  /** Among those that are held. */
  place = -1;

  constructor(delivery: Delivery, bookkeeping: Bookkeeping, now: number) {
    this.delivery = delivery;
    this.bookkeeping = bookkeeping;
    this.leaseUntil = delivery.leaseUntil;
    this.leaseMs = delivery.leaseUntil - now;
  }

  /** The envelope's id; for a message without one an id made of its place in the queue. */
  get id(): string {
    return this.message?.metadata.id ?? this.bookkeeping.id ?? uuidv5(this.bookkeeping.queue, this.delivery.position);
  }

  /** What the ids of copies begin with. */
  get copyBase(): string {
    return this.message?.foreign === true ? uuidv5(this.message.metadata.source, this.id) : this.id;
  }

  get type(): string {
    return this.message?.type ?? 'unknown';
  }

  /** Aborts with `reason`; a handler that never asked for its signal has none to abort. */
  abort(reason: Error): void {
    this.controller ??= new AbortController();
    if (!this.controller.signal.aborted) this.controller.abort(reason);
  }

  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    return this.controller.signal;
  }
}
