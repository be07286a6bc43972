import {
  BatchError,
  type BatchFailure,
  byDeadline,
  type Delivery,
  Inbox,
  type Settlement,
  type SubscribeOptions,
  type Subscription,
  systemClock,
  untilAborted,
  WaybillError,
} from '@waybill/core/driver';
import Long from 'long';
import type { ServiceBusConnection } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import { leaseLost, linkLost } from './service-bus-subscription.ts';
import type { SessionLink } from './session-link.ts';
import { SessionPool } from './session-pool.ts';
import { settleAll, settlerOf, type Task } from './settler.ts';

/**
 * Deliveries of an ordered queue: a key is a session, and a session has one holder. With its link a session is lost, and
 * all that was handed out of it.
 */
export class SessionSubscription implements Subscription {
  readonly #connection: ServiceBusConnection;
  readonly #queue: string;
  readonly #onLost: SubscribeOptions['onLost'];
  readonly #pool: SessionPool;
  readonly #inbox = new Inbox<Delivery>();
  readonly #held = new Map<Delivery, SessionLink>();
  #opening: Promise<void> | undefined;
  #closed = false;

  constructor(connection: ServiceBusConnection, queue: string, { maxInFlight, onLost }: SubscribeOptions) {
    this.#connection = connection;
    this.#queue = queue;
    this.#onLost = onLost;
    const events = {
      arrived: (session: SessionLink, delivery: Delivery): void => this.#arrived(session, delivery),
      judged: (session: SessionLink): void => this.#pool.grant(session),
      lost: (session: SessionLink, cause: unknown): void => this.#lost(session, cause),
      stopped: (cause: WaybillError): void => this.#fail(cause),
    };
    this.#pool = new SessionPool(connection, queue, { events, maxInFlight });
  }

  /** Sees that the queue is there; sessions wait for whoever accepts them. */
  async open(): Promise<void> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  async receive(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    if (this.#closed) throw new WaybillError('CLOSED', `The subscription to "${this.#queue}" is closed.`);
    if (!this.#pool.isOpen) {
      try {
        await untilAborted(this.open(), signal, `receive from "${this.#queue}"`);
      } catch (cause) {
        if (signal.aborted) return [];
        throw cause;
      }
    }
    return this.#inbox.receive(max, signal);
  }

  async settle(batch: readonly Settlement[]): Promise<void> {
    const failures: BatchFailure[] = [];
    const tasks: Task[] = [];
    const released = new Set<SessionLink>();
    for (const [index, settlement] of batch.entries()) {
      const session = this.#held.get(settlement.delivery);
      if (session === undefined) failures.push({ index, error: leaseLost(settlement.delivery) });
      else if (settlement.action === 'release') released.add(this.#drop(settlement.delivery, session));
      else tasks.push({ index, settlement, settling: () => session.receiver });
    }
    failures.push(...(await this.#perform(batch, tasks)));
    // One by one they would come back behind what is held of the same session: it goes back as a whole.
    for (const session of released) void this.#giveUp(session);
    if (failures.length > 0) throw new BatchError(failures, batch.length);
  }

  async extend(deliveries: readonly Delivery[]): Promise<readonly number[]> {
    const asked = new Map<SessionLink, Promise<number>>();
    const renewing = deliveries.map((delivery) => {
      const session = this.#held.get(delivery);
      if (session === undefined) return Promise.resolve(0);
      const renewed = asked.get(session) ?? session.renew();
      asked.set(session, renewed);
      return renewed;
    });
    const results = await Promise.allSettled(renewing);
    const refused = results.find((result) => result.status === 'rejected');
    if (refused !== undefined && this.#pool.isOpen) throw refused.reason as Error;
    return results.map((result, index) => {
      const isHeld = this.#held.has(deliveries[index] as Delivery);
      return result.status === 'fulfilled' && isHeld ? result.value : 0;
    });
  }

  resize(maxInFlight: number): Promise<void> {
    const isTooMuch = this.#held.size > maxInFlight;
    if (isTooMuch) {
      const sessions = new Set(this.#inbox.clear().map((delivery) => this.#drop(delivery, this.#held.get(delivery))));
      for (const session of sessions) if (session !== undefined) void this.#giveUp(session);
    }
    this.#pool.resize(maxInFlight);
    return Promise.resolve();
  }

  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    await byDeadline(deadlineMs, this.#opening ?? Promise.resolve());
    this.#pool.stop();
    this.#inbox.clear();
    const sessions = [...this.#pool.sessions];
    const closing = sessions.map(async (session) => {
      session.ending = true;
      await session.drain();
      await session.close();
    });
    await byDeadline(deadlineMs, Promise.allSettled(closing));
    this.#held.clear();
  }

  async #open(): Promise<void> {
    const life = this.#connection.life();
    try {
      const peeking = settlerOf(life, this.#queue).peekMessages(1, { fromSequenceNumber: Long.ONE });
      await life.answered(peeking, life.timeoutMs, `look at queue "${this.#queue}"`);
    } catch (cause) {
      throw toWaybillError(cause, `receive from "${this.#queue}"`);
    }
    if (!this.#closed) this.#pool.open(life);
  }

  async #perform(batch: readonly Settlement[], tasks: readonly Task[]): Promise<readonly BatchFailure[]> {
    if (tasks.length === 0) return [];
    const failures = await settleAll(this.#connection.life(), tasks);
    const failed = new Map(failures.map((failure) => [failure.index, failure]));
    for (const { index } of tasks) {
      const { delivery } = batch[index] as Settlement;
      const session = this.#held.get(delivery);
      const failure = failed.get(index);
      if (session === undefined) failed.set(index, { index, error: failure?.error ?? leaseLost(delivery) });
      if (failure !== undefined && failure.error.retryable) continue;
      this.#drop(delivery, session);
      if (session === undefined) continue;
      if (session.ending) void this.#pool.end(session);
      else this.#pool.grant(session);
    }
    this.#pool.fill();
    return [...failed.values()];
  }

  #arrived(session: SessionLink, delivery: Delivery): void {
    if (session.ending || this.#closed) return;
    this.#held.set(delivery, session);
    this.#inbox.push(delivery);
  }

  /** Forgets a delivery without a word to the broker. */
  #drop<Session extends SessionLink | undefined>(delivery: Delivery, session: Session): Session {
    this.#held.delete(delivery);
    if (session !== undefined) {
      session.held.delete(delivery);
      session.lastActive = systemClock.now();
    }
    return session;
  }

  /** What of it nobody has received goes back with it. */
  async #giveUp(session: SessionLink): Promise<void> {
    session.returns = true;
    this.#takeBack(session);
    await this.#pool.end(session);
  }

  #takeBack(session: SessionLink): ReadonlySet<Delivery> {
    const back = new Set<Delivery>();
    for (const delivery of this.#inbox.clear()) {
      if (this.#held.get(delivery) === session) back.add(delivery);
      else this.#inbox.push(delivery);
    }
    for (const delivery of back) this.#drop(delivery, session);
    return back;
  }

  #lost(session: SessionLink, cause: unknown): void {
    this.#takeBack(session);
    const gone = [...session.held];
    for (const delivery of gone) this.#drop(delivery, session);
    this.#pool.remove(session);
    if (gone.length > 0) this.#onLost(gone, linkLost(cause, this.#queue));
    if (session.life.lost !== undefined) this.#fail(linkLost(session.life.lost, this.#queue));
  }

  #fail(cause: WaybillError): void {
    // Where nobody waits the next call opens again.
    if (this.#inbox.waiting) this.#inbox.fail(linkLost(cause, this.#queue));
  }
}
