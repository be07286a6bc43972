import type { Capabilities, Driver, OutgoingMessage } from '@waybill/core/driver';
import { BatchError, deadName, untilAborted, WaybillError } from '@waybill/core/driver';
import { RedisConnection } from './redis-connection.ts';
import { replyError, toWaybillError } from './redis-error.ts';
import { fromRedis, nameOf, toRedis } from './redis-message.ts';
import { BROWSE, SEND } from './redis-scripts.ts';
import { subscribeTo } from './redis-subscription.ts';
import { redisTopology } from './redis-topology.ts';

export interface RedisStreamsOptions {
  /** `redis://user:password@host:6379/0`, or `rediss:`. */
  readonly url: string;
  /** How long a message is kept from others while nobody extends it; less than a day. @default 30_000 */
  readonly leaseMs?: number;
  /** Longest delay of one send; the core repeats longer ones. @default Infinity */
  readonly maxDelayMs?: number;
}

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
  const { url, leaseMs = 30_000, maxDelayMs = Number.POSITIVE_INFINITY } = options;
  if (!/^rediss?:/.test(url) || !URL.canParse(url) || leaseMs >= 86_400_000)
    // No value is named: urls hold passwords.
    throw new WaybillError('INVALID_ARGUMENT', 'redisStreams() needs a redis: or rediss: url and a lease below a day.');
  const connection = new RedisConnection(url);
  const admin = redisTopology(connection);
  return {
    spec: 1,
    name: 'redis-streams',
    capabilities: { ...CAPABILITIES, maxDelayMs },
    limits: { send: LIMIT, receive: LIMIT, settle: LIMIT },
    admin,
    verify: (topology) => admin.verify(topology),
    async send(batch, signal) {
      const attempted = `store ${batch.length} messages`;
      const sent = connection.run<[number, Buffer][]>(attempted, SEND, batch.flatMap(toRedis), 'TIMEOUT');
      const failures = (await untilAborted(sent, signal, attempted)).map(([index, reason]) => {
        const { id, target } = batch[index] as OutgoingMessage;
        return { index, error: toWaybillError(replyError(String(reason)), `store ${id} in "${nameOf(target)}"`) };
      });
      if (failures.length > 0) throw new BatchError(failures, batch.length);
    },
    async subscribe(queue, lane) {
      const missing = await admin.verify({ topics: [], queues: [queue] });
      if (missing.length > 0) throw new WaybillError('NOT_FOUND', `${missing.join(' ')} Create it, or run apply.`);
      return subscribeTo(connection, nameOf({ queue: queue.name, lane }), leaseMs);
    },
    async browse({ name }, after, max) {
      if (max <= 0) return { letters: [] };
      const lane = deadName(name);
      const args = [lane, after === undefined ? '-' : `(${after}`, max];
      const entries = await connection.run<[Buffer, Buffer[]][]>(`list "${lane}"`, BROWSE, args);
      const letters = entries.map(([id, fields]) => fromRedis([id, 0, fields], lane, 0));
      const last = letters[max - 1]?.raw[0];
      return last === undefined ? { letters } : { letters, after: String(last) };
    },
    close: () => connection.close(),
  };
}
