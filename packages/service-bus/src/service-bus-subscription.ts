import type { ServiceBusReceivedMessage } from '@azure/service-bus';
import {
  BatchError,
  type BatchFailure,
  byDeadline,
  type Delivery,
  Inbox,
  type Lane,
  type Settlement,
  type SubscribeOptions,
  type Subscription,
  systemClock,
  untilAborted,
  WaybillError,
} from '@waybill/core/driver';
import { fromServiceBusMessage } from './from-service-bus-message.ts';
import { renewAll } from './leases.ts';
import { ReceiverLink } from './receiver-link.ts';
import type { ClientLife, ServiceBusConnection } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import type { Place } from './service-bus-topology.ts';
import { settleAll, settlerOf, type Task } from './settler.ts';

export interface Source {
  readonly connection: ServiceBusConnection;
  readonly lane: Lane;
  readonly places: readonly Place[];
}

/** A delivery of ours, until it is settled. */
interface Held {
  readonly delivery: Delivery;
  readonly path: string;
  readonly link: ReceiverLink;
  /** Its place among what came on its link. */
  readonly order: number;
}

/** How often credit is looked after. */
const LOOK_MS = 500;
/** A look beyond half the window ends once nothing has come for so long. */
const BRIEF_MS = 50;
/** And comes again after this. */
const HUNGRY_EVERY_MS = 2_000;

/**
 * Deliveries of entities without sessions, each with a lock of its own that outlives the link it came on. The next
 * `receive` after a lost link makes another.
 */
export class ServiceBusSubscription implements Subscription {
  readonly #source: Source;
  readonly #inbox = new Inbox<Delivery>();
  readonly #held = new Map<Delivery, Held>();
  /** By path, the link that gets credit. */
  readonly #links = new Map<string, ReceiverLink>();
  /** Links that another took over from. */
  readonly #retired = new Set<ReceiverLink>();
  /** Links that another is about to take over from. */
  readonly #spreading = new Set<ReceiverLink>();
  #maxInFlight: number;
  #opening: Promise<void> | undefined;
  #closed = false;
  /**
   * Half the window is asked for at any time, the rest only now and then, and briefly: what a process has asked for and
   * does not take, because it is frozen, is kept from all others for a lease.
   */
  #isHungry = false;
  #lastHungry = 0;
  #lastArrival = 0;

  constructor(source: Source, { maxInFlight }: SubscribeOptions) {
    this.#source = source;
    this.#maxInFlight = maxInFlight;
    this.#lookAfter();
  }

  /** Attaches; resolves once messages sent from now on would arrive. */
  async open(): Promise<void> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  async receive(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    if (this.#closed) throw closed(this.#name);
    if (this.#links.size < this.#source.places.length) {
      try {
        await untilAborted(this.open(), signal, `receive from "${this.#name}"`);
      } catch (cause) {
        if (signal.aborted) return [];
        throw cause;
      }
    }
    return this.#inbox.receive(max, signal);
  }

  async settle(batch: readonly Settlement[]): Promise<void> {
    const life = this.#source.connection.life();
    const failures: BatchFailure[] = [];
    const tasks: Task[] = [];
    for (const [index, settlement] of batch.entries()) {
      const held = this.#held.get(settlement.delivery);
      if (held === undefined) failures.push({ index, error: leaseLost(settlement.delivery) });
      else tasks.push({ index, settlement, settling: () => settlerOf(life, held.path) });
    }
    failures.push(...(await settleAll(life, tasks)));
    const open = new Set(failures.filter(({ error }) => error.code !== 'LEASE_LOST').map(({ index }) => index));
    for (const [index, { delivery }] of batch.entries()) if (!open.has(index)) this.#forget(delivery);
    this.#grant();
    if (failures.length > 0) throw new BatchError(failures, batch.length);
  }

  async extend(deliveries: readonly Delivery[]): Promise<readonly number[]> {
    const { connection } = this.#source;
    const life = connection.life();
    const locks = deliveries.map((delivery) => {
      const held = this.#held.get(delivery);
      return held && { delivery, settler: settlerOf(life, held.path) };
    });
    const until = await renewAll(life, locks, connection.settings.leaseMs);
    for (const [index, delivery] of deliveries.entries()) if (until[index] === 0) this.#forget(delivery);
    this.#grant();
    return until;
  }

  async resize(maxInFlight: number): Promise<void> {
    const isSmaller = maxInFlight < this.#maxInFlight;
    this.#maxInFlight = maxInFlight;
    if (!isSmaller) return this.#grant();
    await Promise.all(this.#all().map((link) => link.drain()));
    if (this.#held.size > maxInFlight) await this.#giveBack(this.#inbox.clear());
    this.#grant();
  }

  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    await byDeadline(deadlineMs, this.#opening ?? Promise.resolve());
    await byDeadline(deadlineMs, Promise.all(this.#all().map((link) => link.drain())));
    this.#inbox.clear();
    await byDeadline(deadlineMs, this.#giveBack([...this.#held.keys()]));
    await byDeadline(deadlineMs, Promise.allSettled(this.#all().map((link) => link.close())));
    this.#links.clear();
    this.#held.clear();
  }

  get #name(): string {
    return this.#source.places[0]?.path ?? '';
  }

  #all(): readonly ReceiverLink[] {
    return [...this.#links.values(), ...this.#retired];
  }

  async #open(): Promise<void> {
    const life = this.#source.connection.life();
    const missing = this.#source.places.filter(({ path }) => !this.#links.has(path));
    await Promise.all(missing.map((place) => this.#attach(life, place)));
    this.#grant();
  }

  async #attach(life: ClientLife, place: Place): Promise<void> {
    const link = await ReceiverLink.open(life, place.path, {
      message: (from, message) => this.#arrived(from, place, message),
      lost: (from, cause) => this.#lost(from, place, cause),
    }).catch((cause: unknown) => {
      throw toWaybillError(cause, `receive from "${place.path}"`);
    });
    if (this.#closed) return void link.close().catch(() => undefined);
    const before = this.#links.get(place.path);
    if (before !== undefined) this.#retired.add(before);
    this.#links.set(place.path, link);
  }

  #arrived(link: ReceiverLink, place: Place, message: ServiceBusReceivedMessage): void {
    const delivery = fromServiceBusMessage(message, { name: place.name, leaseUntil: this.#leaseUntil(message) });
    // With one the client would take it for a session's, and not settle it after its link is gone.
    (message as { sessionId: string | undefined }).sessionId = undefined;
    this.#held.set(delivery, { delivery, path: place.path, link, order: link.order });
    this.#inbox.push(delivery);
    this.#lastArrival = systemClock.now();
    if (link.credit > 0) return;
    this.#grant();
  }

  /** The clocks of the broker and of this process need not agree: a lease is never longer than a lock. */
  #leaseUntil({ lockedUntilUtc }: ServiceBusReceivedMessage): number {
    const longest = systemClock.now() + this.#source.connection.settings.leaseMs;
    return lockedUntilUtc === undefined ? longest : Math.min(lockedUntilUtc.getTime(), longest);
  }

  /** Another link takes over, so that what is held for long does not stall what comes after it. */
  #spread(link: ReceiverLink, place: Place): void {
    if (link.credit > 0 || this.#spreading.has(link)) return;
    this.#spreading.add(link);
    const attaching = this.#attach(link.life, place).finally(() => this.#spreading.delete(link));
    attaching.then(
      () => this.#grant(),
      (cause: unknown) => this.#lost(link, place, cause),
    );
  }

  #lost(link: ReceiverLink, place: Place, cause: unknown): void {
    this.#retired.delete(link);
    if (this.#links.get(place.path) !== link) return;
    this.#links.delete(place.path);
    // Where nobody waits the next call opens again.
    if (this.#inbox.waiting) this.#inbox.fail(linkLost(cause, place.path));
  }

  #forget(delivery: Delivery): void {
    const held = this.#held.get(delivery);
    if (held === undefined) return;
    this.#held.delete(delivery);
    held.link.settled(held.order);
    if (held.link.isEmpty && held.link.credit === 0 && this.#retired.delete(held.link)) {
      held.link.close().catch(() => undefined);
    }
  }

  get #limit(): number {
    return this.#isHungry || this.#source.lane === 'dead' ? this.#maxInFlight : Math.ceil(this.#maxInFlight / 2);
  }

  #lookAfter(): void {
    systemClock.after(LOOK_MS, () => {
      if (this.#closed) return;
      const isWaiting = this.#inbox.waiting && this.#inbox.size === 0 && this.#links.size > 0;
      if (isWaiting) void this.#look().catch(() => undefined);
      this.#lookAfter();
    });
  }

  async #look(): Promise<void> {
    const held = this.#held.size;
    const now = systemClock.now();
    if (held >= this.#limit && held < this.#maxInFlight && now - this.#lastHungry >= HUNGRY_EVERY_MS) {
      this.#isHungry = true;
      this.#lastHungry = now;
      this.#grant();
      return this.#untilQuiet();
    }
    if (this.#isHungry || now - this.#lastArrival < LOOK_MS) return;
    const calmed = await Promise.all(this.#all().map((link) => link.calm()));
    if (calmed.includes(true)) this.#grant();
  }

  #untilQuiet(): void {
    systemClock.after(BRIEF_MS, () => {
      if (systemClock.now() - this.#lastArrival < BRIEF_MS) return this.#untilQuiet();
      this.#isHungry = false;
      if (this.#held.size < this.#limit) return;
      void Promise.all(this.#all().map((link) => link.drain())).then(() => this.#grant());
    });
  }

  /** As much credit as there is room for. A dead lane has several links, which do not wait for one another. */
  #grant(): void {
    if (this.#closed) return;
    const limit = this.#limit;
    let room = limit - this.#held.size;
    for (const link of this.#retired) room -= link.credit;
    for (const place of this.#source.places) {
      const link = this.#links.get(place.path);
      if (link === undefined) continue;
      const wanted = Math.min(room, link.burst) - link.credit;
      // In lots: a flow for each message would be a frame for each. Small ones: the broker sends while we handle.
      if (wanted <= 0 || (link.credit > 0 && wanted < Math.min(link.burst, limit) / 4)) continue;
      if (link.isLong) this.#spread(link, place);
      else link.grant(wanted);
    }
  }

  async #giveBack(deliveries: readonly Delivery[]): Promise<void> {
    if (deliveries.length === 0) return;
    await this.settle(deliveries.map((delivery) => ({ delivery, action: 'release' as const }))).catch(() => undefined);
    for (const delivery of deliveries) this.#forget(delivery);
  }
}

export function linkLost(cause: unknown, path: string): WaybillError {
  const error = toWaybillError(cause, `go on receiving from "${path}"`);
  return error.code === 'NOT_FOUND' ? error : new WaybillError('UNAVAILABLE', error.message, { cause: error.cause });
}

export function leaseLost({ position }: Delivery): WaybillError {
  return new WaybillError('LEASE_LOST', `Delivery ${position} is not ours any more. It will be handed out again.`);
}

function closed(name: string): WaybillError {
  return new WaybillError('CLOSED', `The subscription to "${name}" is closed.`);
}
