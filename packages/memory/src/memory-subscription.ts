import {
  BatchError,
  type BatchFailure,
  type Delivery,
  type Headers,
  type Lane,
  type Settlement,
  type SubscribeOptions,
  type Subscription,
  WaybillError,
} from '@waybill/core/driver';
import { Holdings } from './holdings.ts';
import type { Losable } from './memory-broker.ts';
import type { Connection } from './memory-connection.ts';
import { closed, leaseLost, unavailable } from './memory-error.ts';
import type { Holder, MemoryLane } from './memory-lane.ts';
import type { MemoryQueue } from './memory-queue.ts';
import type { StoredMessage } from './stored-message.ts';

interface Waiter {
  readonly max: number;
  readonly resolve: (deliveries: readonly Delivery[]) => void;
  readonly reject: (error: WaybillError) => void;
}

export class MemorySubscription implements Subscription, Holder, Losable {
  readonly #connection: Connection;
  readonly #queue: MemoryQueue;
  readonly #laneName: Lane;
  readonly #lane: MemoryLane;
  readonly #onLost: SubscribeOptions['onLost'];
  readonly #holdings: Holdings;
  #maxInFlight: number;
  #waiter: Waiter | undefined;
  #lost: WaybillError | undefined;
  #open = true;

  constructor(
    connection: Connection,
    source: { readonly queue: MemoryQueue; readonly lane: Lane },
    options: SubscribeOptions,
  ) {
    this.#connection = connection;
    this.#queue = source.queue;
    this.#laneName = source.lane;
    this.#lane = source.queue.lane(source.lane);
    this.#onLost = options.onLost;
    this.#maxInFlight = options.maxInFlight;
    this.#holdings = new Holdings(connection.settings, connection.broker.clock, (lapsed) => this.#lapse(lapsed));
    this.#lane.attach(this);
    connection.add(this);
  }

  get waits(): boolean {
    return this.#waiter !== undefined;
  }

  get heldCount(): number {
    return this.#holdings.size;
  }

  get held(): Iterable<StoredMessage> {
    return this.#holdings.messages();
  }

  async receive(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const turn = this.#connection.broker.breathe();
    if (turn !== undefined) await turn;
    const lost = this.#lost;
    this.#lost = undefined;
    if (lost !== undefined && this.#open) throw lost;
    this.#check();
    if (this.#waiter !== undefined) throw new WaybillError('INVALID_ARGUMENT', 'receive waits already. Await it.');
    if (signal.aborted) return [];
    const count = Math.min(max, this.#connection.settings.limits.receive.count);
    const deliveries = this.#take(count);
    return deliveries.length > 0 ? deliveries : this.#wait(count, signal);
  }

  async settle(batch: readonly Settlement[]): Promise<void> {
    this.#check();
    this.#checkRejects(batch);
    const open = this.#connection.settleGate.pass(batch.length, 0);
    this.#holdings.sweep();
    const failures: BatchFailure[] = [];
    const released: StoredMessage[] = [];
    for (const [index, settlement] of batch.entries()) {
      const stored = this.#holdings.remove(settlement.delivery);
      if (stored === undefined) failures.push({ index, error: leaseLost(settlement.delivery.position) });
      else if (settlement.action === 'reject') this.#reject(stored, settlement);
      else if (settlement.action === 'release') released.push(stored);
      else this.#lane.drop(stored);
    }
    this.#giveBack(released);
    await open;
    if (failures.length > 0) throw new BatchError(failures, batch.length);
  }

  async extend(deliveries: readonly Delivery[]): Promise<readonly number[]> {
    this.#check();
    this.#holdings.sweep();
    return deliveries.map((delivery) => this.#holdings.extend(delivery));
  }

  async resize(maxInFlight: number): Promise<void> {
    this.#check();
    this.#maxInFlight = maxInFlight;
    this.#lane.wake();
  }

  async close(_deadlineMs: number): Promise<void> {
    this.end(undefined);
  }

  wake(max: number): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    const deliveries = this.#take(Math.min(waiter.max, max));
    if (deliveries.length === 0) return;
    this.#waiter = undefined;
    waiter.resolve(deliveries);
  }

  /** The broker has everything back; the waiting receive, or else the next one, rejects with `cause`. */
  lose(cause: WaybillError): void {
    if (!this.#open) return;
    const held = this.#holdings.clear();
    // At the end of the line: an exclusive queue goes to the next one.
    this.#lane.detach(this);
    this.#lane.attach(this);
    this.#giveBack([...held.values()]);
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter === undefined) this.#lost = cause;
    else waiter.reject(cause);
    if (held.size > 0) this.#onLost([...held.keys()], cause);
  }

  /** Gives everything back and ends; a waiting receive resolves empty, or rejects with `cause`. */
  end(cause: WaybillError | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.#connection.remove(this);
    const held = this.#holdings.clear();
    this.#giveBack([...held.values()]);
    this.#lane.detach(this);
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (cause === undefined) waiter?.resolve([]);
    else waiter?.reject(cause);
  }

  #check(): void {
    this.#connection.check();
    if (!this.#open) throw closed('The subscription');
  }

  #take(max: number): Delivery[] {
    this.#holdings.sweep();
    const deliveries: Delivery[] = [];
    const room = Math.min(max, this.#maxInFlight - this.#holdings.size);
    while (deliveries.length < room) {
      const stored = this.#lane.take(this);
      if (stored === undefined) break;
      deliveries.push(this.#holdings.add(stored, this.#lane.position(stored)));
    }
    return deliveries;
  }

  #wait(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiter = undefined;
        resolve([]);
      };
      const done = (): void => signal.removeEventListener('abort', onAbort);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiter = {
        max,
        resolve: (deliveries) => (done(), resolve(deliveries)),
        reject: (error) => (done(), reject(error)),
      };
    });
  }

  #giveBack(returned: readonly StoredMessage[]): void {
    if (returned.length === 0) return;
    this.#queue.giveBack(this.#laneName, returned, this.#connection.settings.capabilities.maxDeliveries);
  }

  #reject(stored: StoredMessage, settlement: { readonly reason: string; readonly headers: Headers }): void {
    const annotated = this.#connection.settings.capabilities.reject === 'annotated';
    const add = annotated
      ? { brokerReason: settlement.reason, headers: settlement.headers }
      : { brokerReason: 'rejected' };
    this.#queue.deadLetter(this.#laneName, stored, add);
  }

  #checkRejects(batch: readonly Settlement[]): void {
    if (this.#connection.settings.capabilities.reject !== 'none') return;
    if (!batch.some((settlement) => settlement.action === 'reject')) return;
    throw new WaybillError(
      'UNSUPPORTED',
      "This memory driver cannot reject (capability reject: 'none'). Copy, then accept.",
    );
  }

  /** Brokers say nothing when a lease runs out; they do where leases have no clock and something was held too long. */
  #lapse(lapsed: ReadonlyMap<Delivery, StoredMessage>): void {
    this.#giveBack([...lapsed.values()]);
    if (this.#connection.settings.leaseMs !== Number.POSITIVE_INFINITY) return;
    this.#onLost([...lapsed.keys()], unavailable('they were held for longer than maxHoldMs'));
  }
}
