import { parseServiceBusConnectionString, type TokenCredential, type WebSocketOptions } from '@azure/service-bus';
import { WaybillError } from '@waybill/core/driver';
import { z } from 'zod';

export interface ServiceBusOptions {
  /** `Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…`, of the namespace. Or `namespace` and `credential`. */
  readonly connectionString?: string;
  /** `name.servicebus.windows.net` */
  readonly namespace?: string;
  /** Of `@azure/identity`, or any other that gives tokens for Service Bus. */
  readonly credential?: TokenCredential;
  /** AMQP over WebSockets, port 443, where 5671 is closed. `true`: with the WebSocket of this runtime. @default false */
  readonly webSockets?: boolean | WebSocketOptions;
  /** `false`: without the Manage right. Entities are not created, and there are no depths. @default true */
  readonly management?: boolean;
  /** `http://host:port` of the emulator's management; by itself the client talks https to the namespace. */
  readonly managementUrl?: string;
  /** For how long a delivery is ours before it must be renewed: the lock duration of new queues. @default 30_000 */
  readonly leaseMs?: number;
  /** After how many deliveries the broker gives up by itself, of new queues. The emulator takes 10 at most. @default 100 */
  readonly maxDeliveries?: number;
  /** The namespace's limit for a message: 256 KiB, on Premium up to 100 MiB. @default 262_144 */
  readonly maxMessageBytes?: number;
  /** How long an ordered queue's process waits for one answer of the broker. @default 10_000 */
  readonly timeoutMs?: number;
  /** Keys of an ordered queue that one process holds at the same time, at most. @default 1_000 */
  readonly maxSessions?: number;
  /** `binary`: the body is the bare payload and the attributes are properties. @default 'structured' */
  readonly envelope?: 'structured' | 'binary';
  /** Longest delay asked of the broker at once; the core repeats longer ones. @default 14 days */
  readonly maxDelayMs?: number;
}

export interface Settings {
  readonly access: Access;
  readonly webSockets: WebSocketOptions | undefined;
  readonly management: boolean;
  readonly managementUrl: string | undefined;
  readonly leaseMs: number;
  readonly maxDeliveries: number;
  readonly maxMessageBytes: number;
  readonly timeoutMs: number;
  readonly maxSessions: number;
  readonly envelope: 'structured' | 'binary';
  readonly maxDelayMs: number;
}

/** Who we are, kept from every text and listing. */
export type Access =
  | { readonly connectionString: () => string }
  | { readonly namespace: string; readonly credential: TokenCredential };

const DAY_MS = 86_400_000;

const connectionString = z.string().superRefine((value, context) => {
  const problem = problemOf(value);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});
const webSocketOptions = z.custom<WebSocketOptions>(
  (value) => typeof (value as { webSocket?: unknown } | null)?.webSocket === 'function',
  'must be true, false or { webSocket: a constructor }',
);
const schema = z
  .strictObject({
    connectionString: connectionString.optional(),
    namespace: z
      .string()
      .regex(/^[a-zA-Z0-9.-]+(:\d+)?$/, 'must be a host, without "sb://" and "/"')
      .optional(),
    credential: z
      .custom<TokenCredential>(
        (value) => typeof (value as { getToken?: unknown } | null)?.getToken === 'function',
        'must have getToken',
      )
      .optional(),
    webSockets: z.union([z.boolean(), webSocketOptions]).default(false),
    management: z.boolean().default(true),
    managementUrl: z
      .url({ protocol: /^https?$/, error: 'must start with http:// or https://' })
      .refine((value) => !value.includes('@'), 'takes no credentials')
      .optional(),
    leaseMs: z.int().min(5_000).max(300_000).default(30_000),
    maxDeliveries: z.int().min(3).max(2_000).default(100),
    maxMessageBytes: z.int().min(16_384).max(104_857_600).default(262_144),
    timeoutMs: z.int().min(100).max(300_000).default(10_000),
    maxSessions: z.int().min(1).max(4_000).default(1_000),
    envelope: z.enum(['structured', 'binary']).default('structured'),
    maxDelayMs: z
      .int()
      .min(1_000)
      .max(14 * DAY_MS)
      .default(14 * DAY_MS),
  })
  .refine(
    (value) =>
      (value.connectionString === undefined) === (value.namespace !== undefined && value.credential !== undefined),
    'give either connectionString, or namespace and credential',
  );

/** Throws INVALID_ARGUMENT naming every problem at once, and no value: connection strings hold keys. */
export function checkOptions(options: ServiceBusOptions): Settings {
  const result = schema.safeParse(options);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`);
    throw new WaybillError('INVALID_ARGUMENT', `serviceBus() cannot use these options. ${problems.join('; ')}.`);
  }
  const { connectionString: text, namespace, credential, webSockets, managementUrl, ...rest } = result.data;
  return {
    ...rest,
    access:
      text === undefined
        ? { namespace: namespace as string, credential: credential as TokenCredential }
        : { connectionString: () => text },
    webSockets: webSocketsOf(webSockets),
    managementUrl: managementUrl?.replace(/\/+$/, ''),
  };
}

function problemOf(value: string): string | undefined {
  try {
    const { entityPath } = parseServiceBusConnectionString(value);
    return entityPath === undefined ? undefined : 'is that of one entity; take one of the namespace';
  } catch {
    return 'is none of Service Bus: Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…';
  }
}

function webSocketsOf(given: boolean | WebSocketOptions): WebSocketOptions | undefined {
  if (typeof given === 'object') return given;
  if (!given) return undefined;
  const webSocket = (globalThis as { readonly WebSocket?: unknown }).WebSocket;
  if (webSocket === undefined) {
    throw new WaybillError(
      'INVALID_ARGUMENT',
      'serviceBus() cannot use these options. webSockets: this Node has no WebSocket; give { webSocket } of the package ws.',
    );
  }
  return { webSocket: webSocket as NonNullable<WebSocketOptions['webSocket']> };
}
