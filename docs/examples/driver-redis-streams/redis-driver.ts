import {
  BatchError,
  type BatchFailure,
  type Capabilities,
  type Driver,
  type Lane,
  type OutgoingMessage,
  type Page,
  type Queue,
  type SubscribeOptions,
  type Subscription,
  type Topology,
  untilAborted,
  WaybillError,
} from '@waybill/core/driver';
import type { Redis } from 'ioredis';
import { fromRedisMessage } from './from-redis-message.ts';
import { RedisConnection } from './redis-connection.ts';
import { toWaybillError } from './redis-error.ts';
import { laneName, streamKey } from './redis-keys.ts';
import { checkOptions, type RedisStreamsOptions, type Settings } from './redis-options.ts';
import { SEND } from './redis-scripts.ts';
import { RedisSubscription } from './redis-subscription.ts';
import { RedisTopology } from './redis-topology.ts';
import { messageBytes, toRedisMessage } from './to-redis-message.ts';

export interface RedisStreamsDriver extends Driver {
  /** The ioredis client, for what Waybill has no word for. Connects when there is none. */
  connection(): Promise<Redis>;
}

/** Connects nowhere yet. Throws INVALID_ARGUMENT with every problem of the options. */
export function redisStreams(options: RedisStreamsOptions): RedisStreamsDriver {
  return new RedisStreams(checkOptions(options));
}

const ONE_AT_A_TIME = { count: 100, bytes: 1_048_576, concurrency: 1, everyMs: 0 };

class RedisStreams implements RedisStreamsDriver {
  readonly spec = 1;
  readonly name = 'redis-streams';
  readonly limits: Driver['limits'] = { send: ONE_AT_A_TIME, receive: ONE_AT_A_TIME, settle: ONE_AT_A_TIME };
  readonly capabilities: Capabilities;
  readonly admin: RedisTopology;
  readonly #settings: Settings;
  readonly #connection: RedisConnection;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#connection = new RedisConnection(settings);
    this.admin = new RedisTopology(this.#connection);
    this.capabilities = capabilitiesOf(settings);
  }

  connection(): Promise<Redis> {
    return this.#connection.client();
  }

  async send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    const { maxMessageBytes } = this.capabilities;
    const failures: BatchFailure[] = [];
    const taken: number[] = [];
    for (const [index, message] of batch.entries()) {
      if (messageBytes(message) <= maxMessageBytes) taken.push(index);
      else failures.push({ index, error: tooLarge(message, maxMessageBytes) });
    }
    const args = taken.flatMap((index) => toRedisMessage(batch[index] as OutgoingMessage));
    const attempted = `store ${taken.length} messages`;
    const sent = this.#connection.run(SEND, { attempted, args, lost: 'TIMEOUT' });
    const failed = (await untilAborted(sent, signal, attempted)) as readonly (number | Buffer)[];
    for (let at = 0; at < failed.length; at += 2) {
      const index = taken[Number(failed[at])] as number;
      failures.push({ index, error: notStored(batch[index] as OutgoingMessage, String(failed[at + 1])) });
    }
    if (failures.length > 0) throw new BatchError(failures, batch.length);
  }

  async subscribe(queue: Queue, lane: Lane, _options: SubscribeOptions): Promise<Subscription> {
    const missing = await this.admin.verify({ topics: [], queues: [queue] });
    if (missing.length > 0) throw new WaybillError('NOT_FOUND', `${missing.join(' ')} Create it, or run apply.`);
    return new RedisSubscription(this.#connection, { queue: queue.name, lane, leaseMs: this.#settings.leaseMs });
  }

  verify(topology: Topology, _signal: AbortSignal): Promise<readonly string[]> {
    return this.admin.verify(topology);
  }

  async browse({ name }: Queue, after: string | undefined, max: number): Promise<Page> {
    if (max <= 0) return { letters: [] };
    const start = after === undefined ? '-' : `(${after}`;
    const entries = await this.#connection.use(
      (client) => client.xrangeBuffer(streamKey(name, 'dead'), start, '+', 'COUNT', max),
      { attempted: `list dead letters of "${name}"` },
    );
    const lane = laneName(name, 'dead');
    const letters = entries.map(([id, fields]) => fromRedisMessage([id, 0, fields], lane, 0));
    const last = letters.at(-1)?.raw.id;
    return entries.length < max || last === undefined ? { letters } : { letters, after: last };
  }

  async close(_deadlineMs: number): Promise<void> {
    await this.#connection.close();
  }
}

function capabilitiesOf({ maxDelayMs }: Settings): Capabilities {
  return {
    ordering: 'none',
    filtersTypes: true,
    reject: 'none',
    envelope: 'structured',
    maxDelayMs,
    // The time between two polls, and a round trip.
    delayErrorMs: 200,
    maxHoldMs: Number.POSITIVE_INFINITY,
    maxMessageBytes: 1_048_576,
    maxDeliveries: Number.POSITIVE_INFINITY,
  };
}

function tooLarge(message: OutgoingMessage, most: number): WaybillError {
  const bytes = messageBytes(message);
  return new WaybillError('TOO_LARGE', `Message ${message.id} has ${bytes} bytes with headers, of at most ${most}.`);
}

function notStored({ id, target }: OutgoingMessage, why: string): WaybillError {
  const place = 'topic' in target ? `topic "${target.topic}"` : `queue "${laneName(target.queue, target.lane)}"`;
  if (why !== 'missing') return toWaybillError(replyError(why), `store message ${id} in ${place}`);
  return new WaybillError('NOT_FOUND', `There is no ${place} in Redis. Create it, or apply the topology.`);
}

/** What Redis said to one command of a script. */
function replyError(message: string): Error {
  const error = new Error(message);
  error.name = 'ReplyError';
  return error;
}
