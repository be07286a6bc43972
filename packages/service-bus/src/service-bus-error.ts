import { WaybillError, type WaybillErrorCode } from '@waybill/core/driver';

interface Rule {
  readonly when: RegExp;
  readonly code: WaybillErrorCode;
  readonly advice: string;
}

const RECONNECTS = 'Check that the namespace can be reached; the next call connects again.';

/** What the client, Node and Service Bus say, first match wins. Each is matched against `<code or name> <status> <message>`. */
const RULES: readonly Rule[] = [
  {
    when: /^(MessageLockLost|SessionLockLost|MessageNotFound) |already settled|MessageLockLost|message-lock-lost/,
    code: 'LEASE_LOST',
    advice: 'It will be handed out again.',
  },
  {
    when: /^(MessagingEntityNotFound|MessageEntityNotFoundError) | 404 |messaging entity .* could not be found/i,
    code: 'NOT_FOUND',
    advice: 'Create it, or apply the topology.',
  },
  {
    when: /^(UnauthorizedAccess|UnauthorizedRequestError) |Error 40[13] | 40[13] |SubCode=40100|InvalidSignature|unauthorized/i,
    code: 'PERMISSION_DENIED',
    advice:
      'Check the key or credential, and that it has the rights Send, Listen and, where entities are created, Manage.',
  },
  {
    when: /^MessageSizeExceeded |message-size-exceeded|exceeds? the (limit|maximum)/i,
    code: 'TOO_LARGE',
    advice: 'Send less; properties take 64 KiB.',
  },
  {
    when: /requires sessions|sessionful|RequiresSession/i,
    code: 'CONFLICT',
    advice: 'The queue exists with other settings.',
  },
  { when: /40901|conflicting operation/i, code: 'UNAVAILABLE', advice: 'Another one changes it at the same time.' },
  {
    when: /^(MessagingEntityAlreadyExists|MessageEntityAlreadyExistsError) | 409 /,
    code: 'ALREADY_EXISTS',
    advice: '',
  },
  {
    when: /^(ServiceBusy|QuotaExceeded|ServerBusyError|QuotaExceededError) | (429|503) /,
    code: 'THROTTLED',
    advice: 'The namespace is busy, or the entity is full.',
  },
  {
    when: /^MessagingEntityDisabled /,
    code: 'UNAVAILABLE',
    advice: 'The entity is disabled: enable it in the portal.',
  },
  {
    when: /CERT|self-signed|TLS|SSL|EPROTO/,
    code: 'INVALID_ARGUMENT',
    advice: 'Check the endpoint and its certificate.',
  },
  {
    when: /^(ServiceTimeout|AbortError|OperationTimeoutError) /,
    code: 'TIMEOUT',
    advice: 'It may have been done or not.',
  },
  {
    when: /^(E[A-Z_]+|ServiceCommunicationProblem|SessionCannotBeLocked|REQUEST_SEND_ERROR|InsufficientCreditError|SendOperationFailedError) | 50\d /,
    code: 'UNAVAILABLE',
    advice: RECONNECTS,
  },
  {
    when: /connection|disconnect|socket|link|detach|credit|internal-error|InternalServer|closed|timed? ?out/i,
    code: 'UNAVAILABLE',
    advice: RECONNECTS,
  },
];

/** Says what was attempted ("renew the lock of …"), what the client said and what to do. The cause is never wrapped twice. */
export function toWaybillError(error: unknown, attempted: string): WaybillError {
  if (WaybillError.is(error)) return error;
  const facts = factsOf(error);
  const subject = `${facts.code} ${facts.status} ${facts.message}`;
  const rule = RULES.find(({ when }) => when.test(subject));
  const advice = rule === undefined || rule.advice === '' ? '' : ` ${rule.advice}`;
  const said = facts.message.trim().replace(/\.$/, '');
  return new WaybillError(rule?.code ?? 'UNKNOWN', `Could not ${attempted}: ${said}.${advice}`, {
    cause: plain(facts),
  });
}

interface Facts {
  readonly name: string;
  readonly code: string;
  readonly status: string;
  readonly message: string;
}

interface Told {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly condition?: unknown;
  readonly statusCode?: unknown;
  readonly message?: unknown;
  readonly description?: unknown;
  /** Of an AggregateError, which has no code itself. */
  readonly errors?: readonly unknown[];
}

function factsOf(error: unknown): Facts {
  if (typeof error !== 'object' || error === null)
    return { name: 'Error', code: 'Error', status: '', message: safe(error) };
  const told = error as Told;
  // Node's own, of several addresses, has a code; the client's has not.
  if (told.code === undefined && Array.isArray(told.errors) && told.errors.length > 0)
    return factsOf(told.errors.at(-1));
  const name = text(told.name) ?? 'Error';
  return {
    name,
    code: text(told.code) ?? text(told.condition) ?? name,
    status: typeof told.statusCode === 'number' ? String(told.statusCode) : '',
    message: safe(text(told.message) ?? text(told.description) ?? name),
  };
}

/** The client's own error holds requests with tokens in their headers, and sometimes what was sent. */
function plain({ name, code, message }: Facts): Error {
  const cause: Error & { code?: string } = new Error(message);
  cause.name = name;
  cause.code = code;
  return cause;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Without keys and signatures, in whatever text they turn up. */
function safe(value: unknown): string {
  return String(value)
    .replaceAll(/(SharedAccessKey|SharedAccessSignature|sig)=[^;&\s'"]+/gi, '$1=…')
    .replaceAll(/(SharedAccessSignature|Bearer)\s+[^\s'"]+/gi, '$1 …');
}
