import { WaybillError, type WaybillErrorCode } from '@waybill/core/driver';

interface Rule {
  readonly when: RegExp;
  readonly code: WaybillErrorCode;
  readonly advice: string;
}

const RECONNECTS = 'Check that the broker runs and can be reached; the next call connects again.';

/**
 * What amqplib, Node and RabbitMQ say, first match wins. Each is matched against `<code> <message>` of the cause, where
 * the code is AMQP's reply code, also when amqplib left it in the text (handshakes), or Node's.
 */
const RULES: readonly Rule[] = [
  { when: /^406 .*message size/s, code: 'TOO_LARGE', advice: "Send less, or raise the broker's max_message_size." },
  {
    when: /^406 .*acknowledgement on channel/s,
    code: 'UNAVAILABLE',
    advice: 'A message was held for longer than the consumer timeout allows.',
  },
  {
    when: /^(311|RangeError|ERR_OUT_OF_RANGE) /,
    code: 'TOO_LARGE',
    advice: 'Headers take 64 KiB in all, a name 255 bytes.',
  },
  { when: /^TypeError Field '/, code: 'INVALID_MESSAGE', advice: 'Types and names take 255 bytes.' },
  // amqplib hides what the broker answers to a virtual host.
  {
    when: /Expected ConnectionOpenOk/,
    code: 'NOT_FOUND',
    advice: 'The virtual host of the url does not exist, this user may not use it, or it takes no more connections.',
  },
  { when: /^(312|402|404) /, code: 'NOT_FOUND', advice: 'Create it, or apply the topology.' },
  { when: /^(403|530) /, code: 'PERMISSION_DENIED', advice: 'Check the user, its password and its permissions.' },
  { when: /^405 /, code: 'CONFLICT', advice: 'Somebody else uses it exclusively.' },
  { when: /^406 /, code: 'CONFLICT', advice: 'It exists with other settings.' },
  { when: /^506 /, code: 'THROTTLED', advice: 'The broker is short of resources.' },
  { when: /^540 /, code: 'UNSUPPORTED', advice: 'This broker does not know the method.' },
  { when: /message nacked/, code: 'UNAVAILABLE', advice: 'A queue is full, or most of its members are down.' },
  {
    when: /CERT|TLS|SSL|EPROTO/,
    code: 'INVALID_ARGUMENT',
    advice: 'Check protocol and port of the url, and the tls options.',
  },
  {
    when: /Frame size|Invalid frame/,
    code: 'INVALID_ARGUMENT',
    advice: 'What answers at this address is not RabbitMQ: check protocol and port of the url.',
  },
  { when: /^(E[A-Z_]+|ABORT_ERR|320|50[1-5]|541) /, code: 'UNAVAILABLE', advice: RECONNECTS },
  {
    when: /Heartbeat timeout|Unexpected close|closed abruptly|ETIMEDOUT|channel (ended|clos)|connection clos|no channels left|broker cancelled/i,
    code: 'UNAVAILABLE',
    advice: RECONNECTS,
  },
];

/** Says what was attempted ("declare queue billing"), what the broker said and what to do. The cause is never wrapped twice. */
export function toWaybillError(cause: unknown, attempted: string): WaybillError {
  if (WaybillError.is(cause)) return cause;
  const facts = factsOf(cause);
  const said = textOf(facts);
  const subject = `${codeOf(facts)} ${said}`;
  const rule = RULES.find(({ when }) => when.test(subject));
  const advice = rule === undefined ? '' : ` ${rule.advice}`;
  return new WaybillError(rule?.code ?? 'UNKNOWN', `Could not ${attempted}: ${said}.${advice}`, { cause });
}

/** AMQP's reply code of a closed channel, or undefined. */
export function replyCode(cause: unknown): number | undefined {
  const { code } = factsOf(cause);
  return typeof code === 'number' ? code : undefined;
}

interface Facts {
  readonly name: string;
  readonly message: string;
  readonly code: number | string | undefined;
}

function factsOf(cause: unknown): Facts {
  if (!(cause instanceof Error)) return { name: '', message: String(cause), code: undefined };
  const { code } = cause as { readonly code?: unknown };
  const known = typeof code === 'number' || typeof code === 'string' ? code : undefined;
  return { name: cause.name, message: cause.message, code: known };
}

/** A reply code that amqplib left in the text, of a handshake, counts as one. */
function codeOf({ name, message, code }: Facts): string {
  const inText = /\b([2-5]\d\d) \([A-Z-]+\)/.exec(message)?.[1];
  return String(inText ?? code ?? name);
}

/** The broker's own words where there are some: amqplib wraps them in its own. */
function textOf({ name, message, code }: Facts): string {
  const broker = /with message "(.*)"$/s.exec(message)?.[1];
  // Node's AggregateError (several addresses refused) has no message of its own.
  const text = broker ?? (message === '' ? String(code ?? name) : message);
  return text.trim().replace(/\.$/, '');
}
