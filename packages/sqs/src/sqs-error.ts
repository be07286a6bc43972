import { WaybillError, type WaybillErrorCode } from '@waybill/core/driver';

interface Rule {
  readonly when: RegExp;
  readonly code: WaybillErrorCode;
  readonly advice: string;
}

const RECONNECTS = 'Check the endpoint and the region, and that it can be reached; the next call connects again.';

/**
 * What SQS, SNS, servers that imitate them, the SDK and Node say, first match wins. Each is matched against
 * `<name, code> <HTTP status> <message>`.
 */
const RULES: readonly Rule[] = [
  {
    when: /CERT|self-signed|TLS|\bSSL|EPROTO|Invalid URL/,
    code: 'INVALID_ARGUMENT',
    advice: 'Check the option endpoint: https or http, host and port.',
  },
  { when: /^E[A-Z_]{3,} /, code: 'UNAVAILABLE', advice: RECONNECTS },
  {
    when: /Throttl|RequestLimitExceeded|TooManyRequests|SlowDown|OverLimit|RequestThrottled|PurgeQueueInProgress| 429 /i,
    code: 'THROTTLED',
    advice: 'It is tried again later.',
  },
  {
    when: /^\S*(ReceiptHandleIsInvalid|MessageNotInflight|InvalidReceiptHandle)|receipt ?handle.*(expired|not valid|invalid)|not available for visibility/i,
    code: 'LEASE_LOST',
    advice: '',
  },
  {
    when: /NonExistentQueue|QueueDoesNotExist|^\S*NotFound|^\S*ResourceNotFound| (queue|topic) does not exist/i,
    code: 'NOT_FOUND',
    advice: 'Apply the topology, and check the account and the region.',
  },
  {
    when: /InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|InvalidSignature|IncompleteSignature|MissingAuthenticationToken|InvalidAccessKeyId|InvalidSecurity|ExpiredToken|RequestExpired|CredentialsProviderError|TokenProviderError|NotAuthorized/i,
    code: 'PERMISSION_DENIED',
    advice: 'Check the credentials, that they are of this region, and the clock.',
  },
  {
    when: /AccessDenied|AuthorizationError|OptInRequired|KMS\.AccessDenied| 403 /i,
    code: 'PERMISSION_DENIED',
    advice: 'Give it the rights that the documentation of @waybill/sqs lists.',
  },
  {
    when: /BatchRequestTooLong|MessageTooLong|RequestEntityTooLarge|(must be shorter than|reduced? .* size|maximum (allowed )?(size|length)|too (long|large))| 413 /i,
    code: 'TOO_LARGE',
    advice: 'Send less.',
  },
  { when: /InvalidMessageContents|InvalidCharacter/i, code: 'INVALID_MESSAGE', advice: '' },
  {
    when: /QueueDeletedRecently/i,
    code: 'UNAVAILABLE',
    advice: 'SQS makes a queue of a deleted name a minute later.',
  },
  {
    when: /QueueNameExists|QueueAlreadyExists|already exists/i,
    code: 'CONFLICT',
    advice: 'It exists with other settings.',
  },
  { when: /Region is missing/i, code: 'INVALID_ARGUMENT', advice: 'Set the option region, or AWS_REGION.' },
  { when: /^(TimeoutError|AbortError)\b| (408|504) /, code: 'TIMEOUT', advice: RECONNECTS },
  {
    when: / 5\d\d |socket hang up|ServiceUnavailable|Internal(Failure|Error)|connect/i,
    code: 'UNAVAILABLE',
    advice: RECONNECTS,
  },
  { when: /UnsupportedOperation|NotImplemented/i, code: 'UNSUPPORTED', advice: 'This server does not know the call.' },
  {
    when: /Invalid(Parameter|Attribute|Address|Id)|ParameterValueInvalid|Validation|MissingParameter| 400 /i,
    code: 'INVALID_ARGUMENT',
    advice: '',
  },
];

/** Says what was attempted ("receive from queue "billing""), what the answer was and what to do. Never wraps twice. */
export function toWaybillError(error: unknown, attempted: string): WaybillError {
  if (WaybillError.is(error)) return error;
  const status = statusOf(error);
  const name = typeOf(error);
  const said = textOf(error, name);
  return explained(`${name} ${status ?? '-'} ${said}`, said, { attempted, cause: copyOf(error, said) });
}

/** An entry of `Failed` in an answer that is no error. */
export function entryError(
  entry: { readonly Code?: string | undefined; readonly Message?: string | undefined },
  attempted: string,
): WaybillError {
  const said = cleaned(entry.Message ?? entry.Code ?? 'it failed without a reason');
  return explained(`${entry.Code ?? '-'} - ${said}`, said, { attempted, cause: undefined });
}

/** As {@link toWaybillError}, of a request that stores something: TIMEOUT unless it is sure that nothing was stored. */
export function sendError(error: unknown, attempted: string): WaybillError {
  const known = toWaybillError(error, attempted);
  if (known === error) return known;
  const status = statusOf(error);
  const isUnsure = status === undefined ? known.code === 'UNAVAILABLE' && !isUnsent(error) : UNSURE.has(status);
  if (known.code === 'TIMEOUT' && status === undefined && isUnsent(error)) return recoded(known, 'UNAVAILABLE');
  return isUnsure ? recoded(known, 'TIMEOUT') : known;
}

/** Answers of something between, or of a server that failed after it may have stored. */
const UNSURE: ReadonlySet<number> = new Set([500, 502, 504]);

function recoded({ message, cause }: WaybillError, code: WaybillErrorCode): WaybillError {
  return new WaybillError(code, message, { cause });
}

/** Whether an error tells that the request never left this process. */
function isUnsent(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/.test(typeOf(error))) return true;
  return error.message.includes('did not establish a connection');
}

/** The HTTP status of the answer, if there was one. */
function statusOf(error: unknown): number | undefined {
  const { $metadata, $response } = (error ?? {}) as Answered;
  return $metadata?.httpStatusCode ?? $response?.statusCode;
}

interface Answered {
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string };
  readonly $response?: { readonly statusCode?: number };
}

function explained(
  subject: string,
  said: string,
  { attempted, cause }: { readonly attempted: string; readonly cause: Error | undefined },
): WaybillError {
  const rule = RULES.find(({ when }) => when.test(subject));
  const advice = rule === undefined || rule.advice === '' ? '' : ` ${rule.advice}`;
  return new WaybillError(rule?.code ?? 'UNKNOWN', `Could not ${attempted}: ${said}.${advice}`, { cause });
}

/** Node's code (`ECONNREFUSED`), or the name that the SDK read from the answer. */
function typeOf(error: unknown): string {
  if (!(error instanceof Error)) return '-';
  const { code, Code } = error as { readonly code?: unknown; readonly Code?: unknown };
  if (typeof code === 'string') return code;
  return typeof Code === 'string' && Code !== error.name ? `${error.name},${Code}` : error.name;
}

function textOf(error: unknown, name: string): string {
  if (!(error instanceof Error)) return cleaned(String(error));
  return cleaned(error.message === '' || error.message === 'UnknownError' ? name : error.message);
}

/** One line: the answer to a bad signature repeats the request, session token included, in the lines that follow. */
function cleaned(text: string): string {
  const line = text.trim().split(/[\r\n]/, 1)[0] as string;
  return line
    .replaceAll(/\b(AKIA|ASIA)[A-Z0-9]{8,}/g, '$1…')
    .replaceAll(/((?:Signature|Credential|Token)=)[^\s,&]+/gi, '$1…')
    .slice(0, 400)
    .replace(/\.$/, '');
}

/** The SDK's error holds the answer, and with it parts of the request. */
function copyOf(error: unknown, said: string): Error {
  const copy = new Error(said);
  copy.name = typeOf(error);
  const { $metadata } = (error ?? {}) as Answered;
  return Object.assign(copy, { status: statusOf(error), requestId: $metadata?.requestId });
}
