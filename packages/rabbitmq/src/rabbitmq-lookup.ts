import type { Channel } from 'amqplib';
import { ChannelPool } from './channel-pool.ts';
import type { RabbitmqConnection } from './rabbitmq-connection.ts';
import { replyCode, toWaybillError } from './rabbitmq-error.ts';

export type Kind = 'exchange' | 'queue';

/** How long something that was seen is taken to exist: one round trip in that time instead of one a message. */
const KNOWN_FOR_MS = 10_000;

/** Asks the broker what exists, without permissions and on channels of its own: a "no" closes the channel. */
export class RabbitmqLookup {
  readonly channels: ChannelPool<Channel>;
  readonly #known = { exchange: new Map<string, number>(), queue: new Map<string, number>() };

  constructor(connection: RabbitmqConnection) {
    this.channels = new ChannelPool(() => connection.channel(), 2);
  }

  /** Whether it existed a moment ago. */
  isKnown(kind: Kind, name: string): boolean {
    const seenAt = this.#known[kind].get(name);
    return seenAt !== undefined && seenAt > Date.now() - KNOWN_FOR_MS;
  }

  forget(): void {
    this.#known.exchange.clear();
    this.#known.queue.clear();
  }

  async exists(kind: Kind, name: string): Promise<boolean> {
    return (
      (await this.#ask(kind, name, (channel) =>
        kind === 'queue' ? channel.checkQueue(name) : channel.checkExchange(name),
      )) !== undefined
    );
  }

  /** Messages that are ready; undefined where there is no such queue. */
  async count(queue: string): Promise<number | undefined> {
    return (await this.#ask('queue', queue, (channel) => channel.checkQueue(queue)))?.messageCount;
  }

  async #ask<T>(kind: Kind, name: string, ask: (channel: Channel) => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await this.channels.with(ask);
      this.#known[kind].set(name, Date.now());
      return answer;
    } catch (cause) {
      if (replyCode(cause) === 404) return undefined;
      throw toWaybillError(cause, `look up ${kind} "${name}" on RabbitMQ`);
    }
  }
}
