import type { WaybillError } from '@waybill/core/driver';
import { CallGate } from './call-gate.ts';
import type { Losable, MemoryBroker } from './memory-broker.ts';
import { closed, unavailable } from './memory-error.ts';
import type { Settings } from './memory-options.ts';

/** The faults of one driver, which stands for one client process. */
export interface MemoryConnection {
  /**
   * The broker takes back everything this driver holds: `onLost` is called, the waiting `receive`, or else the next one,
   * rejects with UNAVAILABLE, the one after that is connected again.
   */
  cut(): void;
  /** As if the process died: everything goes back, `onLost` is not called, every later call rejects with CLOSED. */
  kill(): void;
}

interface Member extends Losable {
  end(cause: WaybillError | undefined): void;
}

export class Connection implements MemoryConnection {
  readonly broker: MemoryBroker;
  readonly settings: Settings;
  readonly sendGate: CallGate;
  readonly settleGate: CallGate;
  readonly #members: Set<Member> = new Set();
  #open = true;

  constructor(broker: MemoryBroker, settings: Settings) {
    const options = { clock: broker.clock, stayOpen: settings.strictLimits };
    this.broker = broker;
    this.settings = settings;
    this.sendGate = new CallGate('send', settings.limits.send, options);
    this.settleGate = new CallGate('settle', settings.limits.settle, options);
  }

  /** Throws CLOSED or UNAVAILABLE where a call cannot be made. */
  check(): void {
    if (!this.#open) throw closed('The memory driver');
    if (!this.broker.isUp) throw unavailable('the memory broker is stopped');
  }

  add(member: Member): void {
    this.#members.add(member);
    this.broker.subscriptions.add(member);
  }

  remove(member: Member): void {
    this.#members.delete(member);
    this.broker.subscriptions.delete(member);
  }

  cut(): void {
    const members = [...this.#members];
    for (const member of members) member.lose(unavailable('the connection to the memory broker was cut'));
  }

  kill(): void {
    this.#end(closed('The memory driver was killed: it'));
  }

  close(): void {
    this.#end(undefined);
  }

  #end(cause: WaybillError | undefined): void {
    this.#open = false;
    for (const member of this.#members) member.end(cause);
  }
}
