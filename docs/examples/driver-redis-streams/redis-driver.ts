import type {
  Capabilities,
  Driver,
  Lane,
  OutgoingMessage,
  Page,
  Queue,
  Subscription,
  Topology,
} from '@waybill/core/driver';
import { BatchError, deadName, untilAborted, WaybillError } from '@waybill/core/driver';
import { fromRedisMessage } from './from-redis-message.ts';
import { RedisConnection } from './redis-connection.ts';
import { replyError, toWaybillError } from './redis-error.ts';
import { checkOptions, type RedisStreamsOptions } from './redis-options.ts';
import { BROWSE, SEND } from './redis-scripts.ts';
import { RedisSubscription } from './redis-subscription.ts';
import { RedisTopology } from './redis-topology.ts';
import { nameOf, toRedisMessage } from './to-redis-message.ts';

const LIMIT = { count: 100, bytes: 1_048_576, concurrency: 1, everyMs: 0 };
const CAPABILITIES: Capabilities = {
  ordering: 'none',
  filtersTypes: true,
  reject: 'none',
  envelope: 'structured',
  maxDelayMs: Number.POSITIVE_INFINITY,
  // The time between two polls, and a round trip.
  delayErrorMs: 200,
  maxHoldMs: Number.POSITIVE_INFINITY,
  // Redis itself takes 512 MiB.
  maxMessageBytes: 1_048_576,
  maxDeliveries: Number.POSITIVE_INFINITY,
};

/**
 * One Redis, no cluster: scripts find their keys themselves. What is stored survives a crash of the server with
 * `appendonly yes` and `appendfsync always`; with `everysec` a second may be missing. Connects nowhere yet.
 */
export function redisStreams(options: RedisStreamsOptions): Driver {
  return new RedisStreams(checkOptions(options));
}

class RedisStreams implements Driver {
  readonly spec = 1;
  readonly name = 'redis-streams';
  readonly limits = { send: LIMIT, receive: LIMIT, settle: LIMIT };
  readonly capabilities: Capabilities;
  readonly admin: RedisTopology;
  readonly #connection: RedisConnection;
  readonly #leaseMs: number;

  constructor({ url, leaseMs, maxDelayMs }: Required<RedisStreamsOptions>) {
    this.capabilities = { ...CAPABILITIES, maxDelayMs };
    this.#connection = new RedisConnection(url);
    this.admin = new RedisTopology(this.#connection);
    this.#leaseMs = leaseMs;
  }

  async send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    const attempted = `store ${batch.length} messages`;
    const sent = this.#connection.run<[number, Buffer][]>(attempted, SEND, batch.flatMap(toRedisMessage), 'TIMEOUT');
    const failures = (await untilAborted(sent, signal, attempted)).map(([index, reason]) => {
      const { id, target } = batch[index] as OutgoingMessage;
      return { index, error: toWaybillError(replyError(String(reason)), `store ${id} in "${nameOf(target)}"`) };
    });
    if (failures.length > 0) throw new BatchError(failures, batch.length);
  }

  async subscribe(queue: Queue, lane: Lane): Promise<Subscription> {
    const missing = await this.admin.verify({ topics: [], queues: [queue] });
    if (missing.length > 0) throw new WaybillError('NOT_FOUND', `${missing.join(' ')} Create it, or run apply.`);
    return new RedisSubscription(this.#connection, nameOf({ queue: queue.name, lane }), this.#leaseMs);
  }

  verify(topology: Topology): Promise<readonly string[]> {
    return this.admin.verify(topology);
  }

  async browse({ name }: Queue, after: string | undefined, max: number): Promise<Page> {
    if (max <= 0) return { letters: [] };
    const lane = deadName(name);
    const args = [lane, after === undefined ? '-' : `(${after}`, max];
    const entries = await this.#connection.run<[Buffer, Buffer[]][]>(`list "${lane}"`, BROWSE, args);
    const letters = entries.map(([id, fields]) => fromRedisMessage([id, 0, fields], lane, 0));
    const last = letters[max - 1]?.raw[0];
    return last === undefined ? { letters } : { letters, after: String(last) };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
