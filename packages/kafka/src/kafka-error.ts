import { WaybillError, type WaybillErrorCode } from '@waybill/core/driver';

interface Rule {
  readonly when: RegExp;
  readonly code: WaybillErrorCode;
  readonly advice: string;
}

const RECONNECTS = 'Check that the brokers run and can be reached; the next call connects again.';

/** What kafkajs, Node and Kafka say, first match wins. Each is matched against `<type, code or name> <message>`. */
const RULES: readonly Rule[] = [
  {
    // kafkajs calls it a refusal when the connection breaks in the middle of the handshake.
    when: /^KafkaJSSASLAuthenticationError .*(ECONN|EPIPE|connection|timed out|timeout)/i,
    code: 'UNAVAILABLE',
    advice: RECONNECTS,
  },
  {
    when: /^(SASL_AUTHENTICATION_FAILED|KafkaJSSASLAuthenticationError|ILLEGAL_SASL_STATE|UNSUPPORTED_SASL_MECHANISM) /,
    code: 'PERMISSION_DENIED',
    advice: 'Check the sasl options: mechanism, user and password.',
  },
  {
    when: /^[A-Z_]*AUTHORIZATION_FAILED /,
    code: 'PERMISSION_DENIED',
    advice: 'Give this user the rights that the documentation of @waybill/kafka lists.',
  },
  { when: /^(UNKNOWN_TOPIC_OR_PARTITION|UNKNOWN_TOPIC_ID) /, code: 'NOT_FOUND', advice: 'Apply the topology.' },
  {
    when: /^(MESSAGE_TOO_LARGE|RECORD_LIST_TOO_LARGE) /,
    code: 'TOO_LARGE',
    advice: "Send less, or raise the topics' max.message.bytes.",
  },
  { when: /^(UNKNOWN_MEMBER_ID|ILLEGAL_GENERATION|FENCED_INSTANCE_ID) /, code: 'LEASE_LOST', advice: '' },
  {
    when: /^INCONSISTENT_GROUP_PROTOCOL /,
    code: 'CONFLICT',
    advice: 'Another program is a member of this group: a queue and its consumers must be the only users of its name.',
  },
  { when: /^GROUP_MAX_SIZE_REACHED /, code: 'CONFLICT', advice: 'The broker allows no more members of a group.' },
  {
    when: /^INVALID_SESSION_TIMEOUT /,
    code: 'INVALID_ARGUMENT',
    advice: 'The broker does not allow this sessionTimeoutMs.',
  },
  {
    when: /^(INVALID_REPLICATION_FACTOR|INVALID_PARTITIONS|POLICY_VIOLATION) /,
    code: 'INVALID_ARGUMENT',
    advice: 'Check the options partitions and replicationFactor.',
  },
  {
    when: /^INVALID_CONFIG /,
    code: 'UNSUPPORTED',
    advice: 'Kafka 3.6 or later is needed, which knows message.timestamp.after.max.ms.',
  },
  { when: /^TOPIC_ALREADY_EXISTS /, code: 'ALREADY_EXISTS', advice: '' },
  { when: /^NON_EMPTY_GROUP /, code: 'CONFLICT', advice: 'Close its consumers first.' },
  {
    when: /^(UNSUPPORTED_VERSION|KafkaJSServerDoesNotSupportApiKey) /,
    code: 'UNSUPPORTED',
    advice: 'This broker does not know the request.',
  },
  { when: /^(INVALID_RECORD|CORRUPT_MESSAGE|INVALID_TIMESTAMP) /, code: 'INVALID_MESSAGE', advice: '' },
  { when: /^THROTTLING_QUOTA_EXCEEDED /, code: 'THROTTLED', advice: '' },
  { when: /^OFFSET_METADATA_TOO_LARGE /, code: 'TOO_LARGE', advice: "Raise the brokers' offset.metadata.max.bytes." },
  {
    when: /Closed connection/,
    code: 'UNAVAILABLE',
    advice: 'Check that the broker runs, and whether this port wants TLS or credentials.',
  },
  {
    when: /before secure TLS connection/,
    code: 'UNAVAILABLE',
    advice: 'Check that the broker runs, and that this port is one with TLS.',
  },
  { when: /^(ECONNRESET|EPIPE) /, code: 'UNAVAILABLE', advice: RECONNECTS },
  {
    when: /CERT|self-signed|TLS|SSL|EPROTO/,
    code: 'INVALID_ARGUMENT',
    advice: 'Check the ssl options, and that the port is one with TLS.',
  },
  {
    when: /^(REQUEST_TIMED_OUT|NOT_ENOUGH_REPLICAS_AFTER_APPEND|KafkaJSRequestTimeoutError) /,
    code: 'TIMEOUT',
    advice: 'The broker did not answer in time.',
  },
  {
    when: /^(E[A-Z]+|[A-Z]+(?:_[A-Z]+)+|KafkaJS(?:Connection|Broker|GroupCoordinator|Metadata|TopicMetadata|NoBroker|Lock|Stale|PartialMessage|Invariant|Timeout)\w*) /,
    code: 'UNAVAILABLE',
    advice: RECONNECTS,
  },
  {
    when: /disconnect|closed connection|not connected|Connection|timed? ?out|broker/i,
    code: 'UNAVAILABLE',
    advice: RECONNECTS,
  },
];

/** Says what was attempted ("join group billing"), what the client said and what to do. The cause is never wrapped twice. */
export function toWaybillError(error: unknown, attempted: string): WaybillError {
  if (WaybillError.is(error)) return error;
  const cause = deepest(error);
  const said = textOf(cause);
  const subject = `${typeOf(cause)} ${said}`;
  const rule = RULES.find(({ when }) => when.test(subject));
  const advice = rule === undefined || rule.advice === '' ? '' : ` ${rule.advice}`;
  return new WaybillError(rule?.code ?? 'UNKNOWN', `Could not ${attempted}: ${said}.${advice}`, { cause });
}

/** Kafka's own name of the error (`REBALANCE_IN_PROGRESS`), Node's code, or the class. */
export function typeOf(error: unknown): string {
  const cause = deepest(error);
  if (!(cause instanceof Error)) return '';
  const { type, code } = cause as { readonly type?: unknown; readonly code?: unknown };
  if (typeof type === 'string') return type;
  return typeof code === 'string' ? code : cause.name;
}

interface Wrapper {
  readonly cause?: unknown;
  readonly originalError?: unknown;
  readonly errors?: readonly unknown[];
  readonly partitions?: readonly { readonly error?: unknown }[];
}

/** Of several things that went wrong, the first. Node's own errors of several addresses have a code themselves. */
function firstOf(error: Wrapper): unknown {
  if ((error as Error).name === 'KafkaJSAggregateError') return error.errors?.[0];
  return error.partitions?.find((failed) => failed.error instanceof Error)?.error;
}

/** kafkajs wraps what went wrong in what it did about it. */
function deepest(error: unknown): unknown {
  let current = error;
  for (let depth = 0; depth < 10; depth += 1) {
    const wrapper = (current ?? {}) as Wrapper;
    const inner = wrapper.cause ?? wrapper.originalError ?? firstOf(wrapper);
    if (!(inner instanceof Error)) return current;
    current = inner;
  }
  return current;
}

function textOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return (cause.message === '' ? typeOf(cause) : cause.message).trim().replace(/\.$/, '');
}
