import type { Channel } from 'amqplib';
import { closeQuietly } from './rabbitmq-connection.ts';

/** Channels that one caller has at a time: what closes one, or never answers on it, hurts nobody else. */
export class ChannelPool<C extends Channel> {
  readonly #open: () => Promise<C>;
  readonly #most: number;
  readonly #idle: C[] = [];

  constructor(open: () => Promise<C>, most: number) {
    this.#open = open;
    this.#most = most;
  }

  /** One that nobody has, where there is one. */
  takeIdle(): C | undefined {
    return this.#idle.pop();
  }

  async take(): Promise<C> {
    return this.takeIdle() ?? this.#add(await this.#open());
  }

  give(channel: C): void {
    if (this.#idle.length < this.#most) this.#idle.push(channel);
    else closeQuietly(channel);
  }

  /** Runs `use` with a channel of its own, and drops the channel when it fails. */
  async with<T>(use: (channel: C) => Promise<T>): Promise<T> {
    const channel = await this.take();
    try {
      const result = await use(channel);
      this.give(channel);
      return result;
    } catch (cause) {
      closeQuietly(channel);
      throw cause;
    }
  }

  #add(channel: C): C {
    channel.once('close', () => {
      const index = this.#idle.indexOf(channel);
      if (index >= 0) this.#idle.splice(index, 1);
    });
    return channel;
  }
}
