import { systemClock, WaybillError } from '@waybill/core/driver';
import type { Channel, ChannelModel } from 'amqplib';
import { ChannelPool } from './channel-pool.ts';
import type { RabbitmqConnection } from './rabbitmq-connection.ts';
import { replyCode, toWaybillError } from './rabbitmq-error.ts';

/** Longer than the broker needs to see that a process that had the lock is gone. */
const PATIENCE_MS = 30_000;
const LOOK_AGAIN_MS = 100;

/**
 * One reader of a dead lane at a time: what one holds, another does not see. An exclusive queue is the lock: it is its
 * connection's, and gone with it. Quorum queues do not enforce exclusive consumers, and a single active consumer cannot
 * tell the end of its queue (basic.get can, and is refused there).
 */
export class RabbitmqLock {
  readonly #connection: RabbitmqConnection;
  readonly #channels: ChannelPool<Channel>;
  /** By lock, what asks our own holder to let go: the broker takes a second claim of one connection for the first. */
  readonly #mine = new Map<string, () => void>();

  constructor(connection: RabbitmqConnection) {
    this.#connection = connection;
    this.#channels = new ChannelPool(() => connection.channel(), 1);
  }

  /**
   * Resolves with what frees it again; rejects with THROTTLED when somebody else keeps it for 30 s. `onWanted` is called
   * while this process wants it a second time.
   */
  async take(queue: string, onWanted: () => void = () => undefined): Promise<() => Promise<void>> {
    const name = lockName(queue);
    for (const until = systemClock.now() + PATIENCE_MS; systemClock.now() < until;) {
      this.#mine.get(name)?.();
      if (!this.#mine.has(name) && (await this.#claim(name, onWanted))) {
        const owner = this.#connection.current;
        return () => this.#free(name, owner);
      }
      await new Promise<void>((resolve) => {
        systemClock.after(LOOK_AGAIN_MS, resolve);
      });
    }
    throw new WaybillError(
      'THROTTLED',
      `Somebody else reads the dead letters of queue "${queue}" for ${PATIENCE_MS / 1_000} s now. Try again when they are done.`,
    );
  }

  async #claim(name: string, onWanted: () => void): Promise<boolean> {
    this.#mine.set(name, onWanted);
    try {
      // Named as classic, because a virtual host may make everything else a quorum queue.
      const settings = { exclusive: true, durable: false, autoDelete: false, arguments: { 'x-queue-type': 'classic' } };
      await this.#channels.with((channel) => channel.assertQueue(name, settings));
      return true;
    } catch (cause) {
      this.#mine.delete(name);
      if (replyCode(cause) === 405) return false;
      throw toWaybillError(cause, `lock the dead lane with queue "${name}"`);
    }
  }

  async #free(name: string, owner: ChannelModel | undefined): Promise<void> {
    try {
      // With another connection the lock is gone, or somebody else's.
      if (this.#connection.current === owner) await this.#channels.with((channel) => channel.deleteQueue(name));
    } finally {
      this.#mine.delete(name);
    }
  }
}

function lockName(queue: string): string {
  return `waybill.lock.${queue}`;
}
