import type { ConnectionOptions } from 'node:tls';
import { WaybillError } from '@waybill/core/driver';
import type { ISocketFactory, SASLOptions } from 'kafkajs';
import { z } from 'zod';

export interface KafkaOptions {
  /** `host:port`, some of the cluster's nodes: the others are found through them. */
  readonly brokers: readonly string[];
  /** True, or options for Node's TLS: `ca`, `cert`, `key`, `servername`, … @default false */
  readonly ssl?: boolean | ConnectionOptions;
  /** As kafkajs takes it: `{ mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512', username, password }`, … */
  readonly sasl?: SASLOptions;
  /** Names this application in the brokers' logs and quotas. @default 'waybill' */
  readonly clientId?: string;
  /** `binary`: the value is the bare payload and the attributes are `ce_` headers. @default 'structured' */
  readonly envelope?: 'structured' | 'binary';
  /** Of the topics that `apply` makes, all alike: so many processes can share a queue. @default 6 */
  readonly partitions?: number;
  /** Of the topics that `apply` makes. @default 3, or as many as there are nodes */
  readonly replicationFactor?: number;
  /** A process that is silent for this long loses its partitions to others. @default 30_000 */
  readonly sessionTimeoutMs?: number;
  /** @default 10_000 */
  readonly connectTimeoutMs?: number;
  /** A request that is not answered for this long has failed. @default 30_000 */
  readonly requestTimeoutMs?: number;
  /** Key, value and headers; at most the topics' `max.message.bytes` less 4 KiB for what Kafka adds. @default 1_044_480 */
  readonly maxMessageBytes?: number;
  /** Longest delay asked of the delay topics at once; the core repeats longer ones. @default 1 hour */
  readonly maxDelayMs?: number;
  /** As kafkajs takes it, for ways to the cluster that Node's sockets do not know. */
  readonly socketFactory?: ISocketFactory;
}

export interface Settings {
  readonly brokers: readonly string[];
  readonly ssl: boolean | ConnectionOptions;
  readonly sasl: SASLOptions | undefined;
  readonly clientId: string;
  readonly envelope: 'structured' | 'binary';
  readonly partitions: number;
  readonly replicationFactor: number | undefined;
  readonly sessionTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly maxMessageBytes: number;
  readonly maxDelayMs: number;
  readonly socketFactory: ISocketFactory | undefined;
}

/** Every delay is shorter, or a hop of this. */
const LONGEST_DELAY_MS = 3_600_000;

const object = z.custom<object>((value) => typeof value === 'object' && value !== null, 'must be an object');
const schema = z.strictObject({
  brokers: z
    .array(
      z
        .string()
        .regex(/^(\[[^\]]+\]|[^\s:/@[\]]+):\d{1,5}$/, 'must be host:port')
        .refine((broker) => isPort(Number(broker.slice(broker.lastIndexOf(':') + 1))), 'must have a port up to 65535'),
    )
    .nonempty('needs at least one host:port'),
  ssl: z.union([z.boolean(), object]).default(false),
  sasl: object.optional(),
  clientId: z.string().min(1).default('waybill'),
  envelope: z.enum(['structured', 'binary']).default('structured'),
  partitions: z.int().min(1).max(10_000).default(6),
  replicationFactor: z.int().min(1).max(100).optional(),
  sessionTimeoutMs: z.int().min(1_000).max(1_800_000).default(30_000),
  connectTimeoutMs: z.int().min(1).default(10_000),
  requestTimeoutMs: z.int().min(1_000).default(30_000),
  maxMessageBytes: z.int().min(16_384).max(1_073_741_824).default(1_044_480),
  maxDelayMs: z.int().min(1_000).max(LONGEST_DELAY_MS).default(LONGEST_DELAY_MS),
  socketFactory: z.custom<ISocketFactory>((value) => typeof value === 'function', 'must be a function').optional(),
});

function isPort(port: number): boolean {
  return port > 0 && port < 65_536;
}

/** Throws INVALID_ARGUMENT naming every problem at once, and no value: options hold passwords. */
export function checkOptions(options: KafkaOptions): Settings {
  const result = schema.safeParse(options);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`);
    throw new WaybillError('INVALID_ARGUMENT', `kafka() cannot use these options. ${problems.join('; ')}.`);
  }
  const { sasl, socketFactory, replicationFactor, ...rest } = result.data;
  return { ...rest, sasl: sasl as SASLOptions | undefined, socketFactory, replicationFactor };
}
