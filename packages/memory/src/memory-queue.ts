import { type Clock, deadName, type Depth, type Headers, type Lane } from '@waybill/core/driver';
import { type HandOutRule, MemoryLane } from './memory-lane.ts';
import type { StoredMessage } from './stored-message.ts';

export interface MemoryQueueOptions {
  readonly name: string;
  readonly ordered: boolean;
  readonly rule: HandOutRule;
  readonly deduplicationMs: number;
  readonly clock: Clock;
}

/** One queue of the broker: its facts, fixed when it is created, and its two lanes. */
export class MemoryQueue {
  readonly name: string;
  readonly ordered: boolean;
  readonly work: MemoryLane;
  readonly dead: MemoryLane;

  constructor(options: MemoryQueueOptions) {
    this.name = options.name;
    this.ordered = options.ordered;
    this.work = new MemoryLane(options);
    this.dead = new MemoryLane({ ...options, name: deadName(options.name), rule: 'any' });
  }

  lane(lane: Lane): MemoryLane {
    return lane === 'work' ? this.work : this.dead;
  }

  depth(): Depth {
    return {
      ready: this.work.readyCount,
      inFlight: this.work.heldCount,
      delayed: this.work.delayedCount,
      deadLettered: this.dead.readyCount + this.dead.heldCount + this.dead.delayedCount,
    };
  }

  /** Back to its lane; from the work lane to the dead one after `maxDeliveries` hand-outs. */
  giveBack(from: Lane, returned: readonly StoredMessage[], maxDeliveries: number): void {
    const spent = (stored: StoredMessage): boolean => from === 'work' && stored.deliveries >= maxDeliveries;
    for (const stored of returned) if (spent(stored)) this.deadLetter(from, stored, { brokerReason: 'delivery_limit' });
    this.lane(from).putBack(returned.filter((stored) => !spent(stored)));
  }

  /** One step: gone from its lane, in the dead lane as a new letter. */
  deadLetter(
    from: Lane,
    stored: StoredMessage,
    add: { readonly brokerReason: string; readonly headers?: Headers },
  ): void {
    this.lane(from).drop(stored);
    const message = { ...stored.message, headers: { ...stored.message.headers, ...add.headers } };
    this.dead.move({ message, brokerReason: add.brokerReason, sequence: 0, deliveries: 0 });
  }
}
