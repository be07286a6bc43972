import { randomBytes } from 'node:crypto';
import {
  BatchError,
  byDeadline,
  type Delivery,
  Inbox,
  type Lane,
  type Settlement,
  type SubscribeOptions,
  type Subscription,
  untilAborted,
  WaybillError,
} from '@waybill/core/driver';
import type { Channel, ConsumeMessage } from 'amqplib';
import { closeQuietly, type RabbitmqConnection } from './rabbitmq-connection.ts';
import { toWaybillError } from './rabbitmq-error.ts';
import { leaseLost, type Received, RabbitmqSession } from './rabbitmq-session.ts';
import { type RabbitmqTrial, SUSPECT_FROM } from './rabbitmq-trial.ts';

export interface Source {
  readonly connection: RabbitmqConnection;
  readonly queue: string;
  readonly lane: Lane;
  /** Only for an ordered queue, which has a single active consumer. */
  readonly trial: RabbitmqTrial | undefined;
  /** Waits until nobody else reads the lane; resolves with what lets others. Asked again on every connection. */
  readonly lock: (() => Promise<() => Promise<void>>) | undefined;
}

/** AMQP has 16 bits for it. */
const LARGEST_PREFETCH = 65_535;

const unlocked = (): Promise<void> => Promise.resolve();

/**
 * The window of every consumer of an ordered queue, whatever the core asks for. RabbitMQ puts what a consumer gives back
 * behind what others gave back before: were a window smaller than the one before it, messages would overtake.
 */
const ORDERED_WINDOW = 1_000;

/** One consumer on a channel of its own. It opens the next channel, in the next `receive`, after it lost one. */
export class RabbitmqSubscription implements Subscription {
  readonly #source: Source;
  readonly #onLost: SubscribeOptions['onLost'];
  readonly #inbox = new Inbox<Received>();
  #maxInFlight: number;
  #session: RabbitmqSession | undefined;
  #consumerTag = '';
  #opening: Promise<void> | undefined;
  #unlock: () => Promise<void> = unlocked;
  /** While a resize waits for the broker: what still comes, for nobody to receive. */
  #unasked: Received[] | undefined;
  #closed = false;

  constructor(source: Source, options: SubscribeOptions) {
    this.#source = source;
    this.#onLost = options.onLost;
    this.#maxInFlight = options.maxInFlight;
  }

  /** Consumes; resolves once messages sent from now on would arrive. */
  async open(): Promise<void> {
    if (this.#session !== undefined) return;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  async receive(max: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    if (this.#closed) throw new WaybillError('CLOSED', `The subscription to queue "${this.#source.queue}" is closed.`);
    if (this.#session === undefined) {
      try {
        await untilAborted(this.open(), signal, `consume queue "${this.#source.queue}"`);
      } catch (cause) {
        if (signal.aborted) return [];
        throw cause;
      }
    }
    const { trial } = this.#source;
    const deliveries = await this.#inbox.receive(max, signal);
    if (trial === undefined || deliveries.every(({ deliveries: count }) => count < SUSPECT_FROM)) return deliveries;
    for (const delivery of deliveries) await trial.judge(delivery, this.#maxInFlight === 1);
    const held = deliveries.filter((delivery) => this.#session?.has(delivery) === true);
    return held.length > 0 ? held : this.receive(max, signal);
  }

  async settle(batch: readonly Settlement[]): Promise<void> {
    const kept: Received[] = [];
    const keep = this.#source.trial === undefined ? undefined : (delivery: Received) => void kept.push(delivery);
    const failures =
      this.#session?.settle(batch, keep) ?? batch.map(({ delivery }, index) => ({ index, error: leaseLost(delivery) }));
    if (kept.length > 0) this.#putBack(kept);
    if (failures.length > 0) throw new BatchError(failures, batch.length);
  }

  /** Any request that the broker answers on this channel proves that the channel, and so what it handed out, is ours. */
  async extend(deliveries: readonly Delivery[]): Promise<readonly number[]> {
    const session = this.#session;
    const alive = session?.channel.prefetch(Math.max(this.#window, 1)).then(
      () => true,
      () => false,
    );
    const ours = (await alive) === true && session === this.#session;
    return deliveries.map((delivery) => (ours && session?.has(delivery) === true ? Number.POSITIVE_INFINITY : 0));
  }

  async resize(maxInFlight: number): Promise<void> {
    this.#maxInFlight = maxInFlight;
    const session = this.#session;
    if (session === undefined || this.#source.trial !== undefined) return;
    this.#unasked = [];
    try {
      await session.channel.cancel(this.#consumerTag);
      session.giveBack([...this.#inbox.clear(), ...this.#unasked]);
      this.#unasked = undefined;
      await this.#consume(session);
    } catch (cause) {
      throw toWaybillError(cause, `resize the window of queue "${this.#source.queue}"`);
    } finally {
      this.#unasked = undefined;
    }
  }

  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    await byDeadline(deadlineMs, this.#opening ?? Promise.resolve());
    const session = this.#session;
    this.#session = undefined;
    this.#inbox.clear();
    if (session !== undefined) {
      const done = await byDeadline(deadlineMs, this.#end(session));
      if (!done) closeQuietly(session.channel);
    }
    await byDeadline(deadlineMs, this.#release());
  }

  async #open(): Promise<void> {
    const { connection, queue, lane, lock } = this.#source;
    this.#unlock = (await lock?.()) ?? unlocked;
    try {
      const channel = await connection.channel((cause) => this.#lose(session, cause));
      const session = new RabbitmqSession(channel, lane, randomBytes(6).toString('hex'));
      this.#session = session;
      await this.#consume(session);
      if (this.#closed) closeQuietly(channel);
      if (this.#session !== session) throw new Error('the channel closed at once');
    } catch (cause) {
      this.#session = undefined;
      await this.#release();
      throw toWaybillError(cause, `consume queue "${queue}"`);
    }
  }

  async #consume(session: RabbitmqSession): Promise<void> {
    // RabbitMQ takes a prefetch of 0 for no limit.
    if (this.#window === 0) return;
    await session.channel.prefetch(this.#window);
    const { consumerTag } = await session.channel.consume(this.#source.queue, (message) =>
      this.#arrived(session, message),
    );
    this.#consumerTag = consumerTag;
  }

  #arrived(session: RabbitmqSession, message: ConsumeMessage | null): void {
    if (message === null) {
      // The queue was deleted, or its leader is gone: amqplib says nothing else about it.
      closeQuietly(session.channel);
      return this.#lose(session, new Error('the broker cancelled the consumer'));
    }
    const delivery = session.add(message);
    if (session !== this.#session) return;
    if (this.#unasked === undefined) this.#inbox.push(delivery);
    else this.#unasked.push(delivery);
  }

  #lose(session: RabbitmqSession, cause: Error): void {
    if (session !== this.#session) return;
    this.#session = undefined;
    const { message } = toWaybillError(cause, `go on consuming queue "${this.#source.queue}"`);
    const error = new WaybillError('UNAVAILABLE', message, { cause });
    const unread = new Set<Delivery>(this.#inbox.clear());
    const lost = session.clear().filter((delivery) => !unread.has(delivery));
    void this.#release();
    // Where nobody waits the next call opens again.
    if (this.#inbox.waiting) this.#inbox.fail(error);
    if (lost.length > 0) this.#onLost(lost, error);
  }

  async #release(): Promise<void> {
    const unlock = this.#unlock;
    this.#unlock = unlocked;
    await unlock().catch(() => undefined);
  }

  get #window(): number {
    return this.#source.trial === undefined ? Math.min(this.#maxInFlight, LARGEST_PREFETCH) : ORDERED_WINDOW;
  }

  /** On an ordered queue what is released stays here, where it keeps its place. */
  #putBack(released: readonly Received[]): void {
    const waiting = [...this.#inbox.clear(), ...released];
    waiting.sort((left, right) => left.raw.fields.deliveryTag - right.raw.fields.deliveryTag);
    for (const delivery of waiting) this.#inbox.push(delivery);
  }

  /** Takes no more, gives back what it holds and ends the channel. */
  async #end(session: RabbitmqSession): Promise<void> {
    const { channel } = session;
    if (this.#source.trial === undefined) {
      await channel.cancel(this.#consumerTag);
      // Not left to the closing channel: 4.3 counts that as a failed delivery of each.
      session.giveBackAll();
    } else {
      await this.#flushAcks(channel);
    }
    // Deliveries that are on their way when a consumer is cancelled go back before, so in front of, those given back
    // after it (seen on 4.0 and 4.3). A closing channel puts all of them where they came from.
    await channel.close();
  }

  /**
   * Acks that were written right before a channel closes are lost (seen on 4.0 and 4.3: most of a burst). What waits for
   * the queue itself comes after them: a second consumer, which on a queue with a single active one gets nothing.
   */
  async #flushAcks(channel: Channel): Promise<void> {
    const { consumerTag } = await channel.consume(this.#source.queue, () => undefined);
    await channel.cancel(consumerTag);
  }
}
