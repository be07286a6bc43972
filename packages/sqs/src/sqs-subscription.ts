import {
  BatchError,
  byDeadline,
  type Delivery,
  type Lane,
  type Queue,
  type Settlement,
  type SubscribeOptions,
  type Subscription,
  systemClock,
  WaybillError,
} from '@waybill/core/driver';
import type { SqsDelivery } from './from-sqs-message.ts';
import type { SqsClients } from './sqs-client.ts';
import { SqsDelayRelay } from './sqs-delay-relay.ts';
import { SqsInbox } from './sqs-inbox.ts';
import { MOST_ENTRIES } from './sqs-lanes.ts';
import type { SqsLookup } from './sqs-lookup.ts';
import { deadEntity, workEntity } from './sqs-names.ts';
import type { Settings } from './sqs-options.ts';
import { PollPace } from './sqs-poll-pace.ts';
import { SqsPolls } from './sqs-polls.ts';
import { SqsReceiver, waitingOf } from './sqs-receiver.ts';
import { SqsSettler } from './sqs-settler.ts';

export interface Source {
  readonly clients: SqsClients;
  readonly lookup: SqsLookup;
  readonly settings: Settings;
  readonly queue: Queue;
  readonly lane: Lane;
}

interface Waiter {
  readonly max: number;
  readonly resolve: (deliveries: readonly Delivery[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A consumer that comes back this soon takes what a poll brings beyond its room before the lease of it is over. */
const QUICK_MS = 250;
/** What nobody settled for so long after its lease was over was given up. */
const FORGOTTEN_AFTER_MS = 60_000;

/**
 * Long polls as there is room for what they bring. Leases have a clock, so a broken connection loses nothing, and the
 * next `receive` polls again.
 */
export class SqsSubscription implements Subscription {
  readonly #source: Source;
  readonly #settler: SqsSettler;
  readonly #inbox = new SqsInbox<SqsDelivery>();
  readonly #held = new Set<SqsDelivery>();
  readonly #receiver: SqsReceiver;
  readonly #polls: SqsPolls<SqsDelivery>;
  readonly #relay: SqsDelayRelay | undefined;
  #waiter: Waiter | undefined;
  #handedOutAt = 0;
  #closing: Promise<void> | undefined;
  /** Nothing is handed out or given back any more but what polls bring that were left open. */
  #over = false;
  #end!: () => void;
  readonly #ended: Promise<void> = new Promise((resolve) => {
    this.#end = resolve;
  });

  /** Nothing is pushed and no lease ends but by the clock: no option of the core matters. */
  constructor(source: Source, _options: SubscribeOptions) {
    const { clients, lookup, settings, queue, lane } = source;
    this.#source = source;
    this.#settler = new SqsSettler(clients, settings.leaseMs);
    const onFailure = (error: unknown): void => this.#fail(error);
    const onAnswer = (deliveries: readonly SqsDelivery[]): void => this.#arrive(deliveries);
    const entity = lane === 'dead' ? deadEntity(queue) : workEntity(queue);
    this.#receiver = new SqsReceiver({ clients, lookup, lane, entity, ...waitingOf(settings, lane) });
    const poll = this.#receiver.receive.bind(this.#receiver);
    // Of two answers on their way at once the later one may come first.
    const pace = new PollPace(queue.ordered ? 1 : undefined);
    this.#polls = new SqsPolls({ poll, pace, onAnswer, onFailure });
    if (lane === 'work') this.#relay = new SqsDelayRelay(source, this.#settler, { onAnswer, onFailure });
  }

  /** Once it is closed. */
  get closed(): Promise<void> {
    return this.#ended;
  }

  /** Rejects with NOT_FOUND naming what is missing. */
  async open(): Promise<void> {
    const delays = this.#relay?.open();
    // Told second where both are missing.
    delays?.catch(() => undefined);
    await this.#receiver.find();
    await delays;
  }

  receive(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const { name } = this.#source.queue;
    if (this.#closing !== undefined) {
      return Promise.reject(new WaybillError('CLOSED', `The subscription to queue "${name}" is closed.`));
    }
    const ready = this.#take(max);
    if (ready.length > 0) {
      this.#fill(max - ready.length);
      return Promise.resolve(ready);
    }
    if (signal.aborted) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const done = (): void => signal.removeEventListener('abort', onAbort);
      const onAbort = (): void => {
        this.#waiter = undefined;
        resolve([]);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiter = {
        max,
        resolve: (deliveries) => (done(), resolve(deliveries)),
        reject: (error) => (done(), reject(error)),
      };
      this.#fill(max);
    });
  }

  async settle(batch: readonly Settlement[]): Promise<void> {
    const released = this.#source.queue.ordered ? groupsReleasedBy(batch) : undefined;
    // They came behind what goes back, and must not be handed out before it.
    const behind = released === undefined ? [] : this.#inbox.takeGroups(released);
    for (const { delivery } of batch) this.#held.delete(delivery as SqsDelivery);
    try {
      await this.#settler.settle(batch);
    } catch (error) {
      this.#holdWhatMayBeTriedAgain(batch, error);
      throw error;
    } finally {
      if (behind.length > 0) await this.#settler.release(behind);
    }
  }

  extend(deliveries: readonly Delivery[]): Promise<readonly number[]> {
    const forgotten = systemClock.now() - FORGOTTEN_AFTER_MS;
    for (const delivery of this.#held) if (delivery.leaseUntil < forgotten) this.#held.delete(delivery);
    return this.#settler.extend(deliveries as readonly SqsDelivery[]);
  }

  /** It is asked for what there is room for. */
  resize(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Opens no more polls, waits for the open ones and then gives back what is here. At the deadline nothing goes back, and
   * all comes again when its lease is over; what an open poll brings later goes back then, unless the driver is closed.
   */
  close(deadlineMs: number): Promise<void> {
    this.#closing ??= this.#close(deadlineMs).finally(this.#end);
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    this.#waiter?.resolve([]);
    this.#waiter = undefined;
    const [isQuiet] = await Promise.all([this.#polls.close(deadlineMs), this.#relay?.close(deadlineMs)]);
    this.#over = true;
    const unsettled = [...this.#held, ...this.#inbox.clear()];
    this.#held.clear();
    // While one of our own polls is open it would take what goes back.
    if (isQuiet) await byDeadline(deadlineMs, this.#settler.release(unsettled));
  }

  #fill(room: number): void {
    if (room <= 0) return;
    this.#relay?.ask(room);
    const quick = systemClock.now() - this.#handedOutAt < QUICK_MS;
    // Who has only one or two at a time leaves what is beyond until its lease is over, and that counts as handed out.
    this.#polls.ask(room, quick && this.#held.size + room >= MOST_ENTRIES);
  }

  #take(max: number): readonly SqsDelivery[] {
    const now = systemClock.now();
    const taken = this.#inbox.take(max, now);
    if (taken.length === 0) return taken;
    this.#handedOutAt = now;
    for (const delivery of taken) this.#held.add(delivery);
    return taken;
  }

  #arrive(deliveries: readonly SqsDelivery[]): void {
    if (this.#over) return void this.#settler.release(deliveries);
    this.#inbox.push(deliveries);
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    const taken = this.#take(waiter.max);
    if (taken.length === 0) return this.#fill(waiter.max);
    this.#waiter = undefined;
    waiter.resolve(taken);
  }

  /** When nobody waits, the polls of the next `receive` find out whether it still is so. */
  #fail(error: unknown): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.reject(error);
  }

  #holdWhatMayBeTriedAgain(batch: readonly Settlement[], error: unknown): void {
    if (!BatchError.is(error)) return;
    for (const failure of error.failures) {
      const delivery = batch[failure.index]?.delivery;
      if (delivery !== undefined && failure.error.retryable) this.#held.add(delivery as SqsDelivery);
    }
  }
}

function groupsReleasedBy(batch: readonly Settlement[]): ReadonlySet<string> {
  const groups = new Set<string>();
  for (const { delivery, action } of batch) {
    const { group } = delivery as SqsDelivery;
    if (action === 'release' && group !== undefined) groups.add(group);
  }
  return groups;
}
