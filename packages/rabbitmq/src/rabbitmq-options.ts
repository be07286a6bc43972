import type { ConnectionOptions } from 'node:tls';
import { WaybillError } from '@waybill/core/driver';
import type { Options } from 'amqplib';
import { z } from 'zod';
import { LONGEST_DELAY_MS } from './rabbitmq-ladder.ts';

export interface RabbitmqOptions {
  /** `amqp://user:password@host:5672/vhost`, or `amqps:`. One a node of a cluster: after a failure the next is tried. */
  readonly url: string | readonly string[];
  /** Handed to Node's TLS for `amqps:` urls: `ca`, `cert`, `key`, `servername`, … */
  readonly tls?: ConnectionOptions;
  /** A broker that is silent for two of these is taken for gone. @default 10 */
  readonly heartbeatSeconds?: number;
  /** @default 10_000 */
  readonly connectTimeoutMs?: number;
  /** `binary`: the body is the bare payload and the attributes are headers. @default 'structured' */
  readonly envelope?: 'structured' | 'binary';
  /** `http://host:15672`: lets `depth` count what is in flight and `verify` see bindings and settings. */
  readonly managementUrl?: string;
  /** The broker's `max_message_size`, at most. @default 16 MiB */
  readonly maxMessageBytes?: number;
  /** Longest delay asked of the broker at once; the core repeats longer ones. @default 24 days 20 hours */
  readonly maxDelayMs?: number;
}

/** One node, as amqplib takes it, and how to speak of it without its credentials. */
export interface Server {
  readonly name: string;
  readonly connect: Options.Connect;
}

export interface Settings {
  readonly servers: readonly Server[];
  readonly tls: ConnectionOptions;
  readonly connectTimeoutMs: number;
  readonly envelope: 'structured' | 'binary';
  readonly management: { readonly url: string; readonly authorization: string; readonly vhost: string } | undefined;
  readonly maxMessageBytes: number;
  readonly maxDelayMs: number;
}

const brokerUrl = z.string().superRefine((value, context) => {
  const problem = problemOf(value, ['amqp:', 'amqps:']);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});
const httpUrl = z.string().superRefine((value, context) => {
  const problem = problemOf(value, ['http:', 'https:']);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});
const schema = z.strictObject({
  url: z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(brokerUrl).nonempty()),
  tls: z
    .custom<ConnectionOptions>((value) => typeof value === 'object' && value !== null, 'must be an object')
    .default({}),
  heartbeatSeconds: z.int().min(1).max(3_600).default(10),
  connectTimeoutMs: z.int().min(1).default(10_000),
  envelope: z.enum(['structured', 'binary']).default('structured'),
  managementUrl: httpUrl.optional(),
  maxMessageBytes: z.int().min(16_384).max(536_870_912).default(16_777_216),
  maxDelayMs: z.int().min(1_000).max(LONGEST_DELAY_MS).default(LONGEST_DELAY_MS),
});

/** Rejects with INVALID_ARGUMENT naming every problem at once, and no value: urls hold passwords. */
export function checkOptions(options: RabbitmqOptions): Settings {
  const result = schema.safeParse(options);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`);
    throw new WaybillError('INVALID_ARGUMENT', `rabbitmq() cannot use these options. ${problems.join('; ')}.`);
  }
  const { url, managementUrl, heartbeatSeconds, ...rest } = result.data;
  const urls = url.map((each) => new URL(each));
  return {
    ...rest,
    servers: urls.map((each) => toServer(each, heartbeatSeconds)),
    management: managementUrl === undefined ? undefined : toManagement(new URL(managementUrl), urls[0] as URL),
  };
}

function problemOf(value: string, protocols: readonly string[]): string | undefined {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined) return 'is not a url; percent-encode special characters of user and password';
  if (!protocols.includes(url.protocol)) return `must start with ${protocols.map((each) => `${each}//`).join(' or ')}`;
  if (url.hostname === '') return 'has no host';
  // A password with a bare "#", "?" or "/" ends the host early, and its rest would turn up in error messages.
  if (/[@#]/.test(`${url.pathname}${url.search}${url.hash}`)) {
    return 'has "@" or "#" behind the host; percent-encode special characters of user and password';
  }
  if (url.search !== '') return 'takes no query; use the options';
  try {
    decodeURIComponent(`${url.username}${url.password}${url.pathname}`);
  } catch {
    return 'has a "%" that starts no percent-encoded character';
  }
  return undefined;
}

function toServer(url: URL, heartbeat: number): Server {
  const standardPort = url.protocol === 'amqps:' ? 5_671 : 5_672;
  const port = url.port === '' ? standardPort : Number(url.port);
  const credentials = credentialsOf(url);
  return {
    name: `${url.hostname}:${port}`,
    connect: {
      protocol: url.protocol.slice(0, -1),
      hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port,
      ...credentials,
      // amqplib decodes it.
      vhost: url.pathname.slice(1),
      heartbeat,
    },
  };
}

function toManagement(url: URL, broker: URL): Settings['management'] {
  const { username, password } = credentialsOf(url.username === '' ? broker : url);
  const vhost = broker.pathname.length > 1 ? broker.pathname.slice(1) : '%2F';
  return {
    // `fetch` refuses urls with credentials, and prints them when it does.
    url: `${url.origin}${url.pathname.replace(/\/$/, '')}`,
    authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
    vhost,
  };
}

function credentialsOf(url: URL): { readonly username: string; readonly password: string } {
  if (url.username === '' && url.password === '') return { username: 'guest', password: 'guest' };
  return { username: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
}
