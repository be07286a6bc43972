import { WaybillError, type WaybillErrorCode } from '@waybill/core/driver';

interface Rule {
  readonly when: RegExp;
  readonly code: WaybillErrorCode;
  readonly advice: string;
}

/** How Redis begins its replies, first match wins. */
const RULES: readonly Rule[] = [
  { when: /^(NOAUTH|WRONGPASS|NOPERM)\b/, code: 'PERMISSION_DENIED', advice: 'Check user, password and ACL.' },
  { when: /NOGROUP\b|no such key/, code: 'NOT_FOUND', advice: 'Create it, or apply the topology.' },
  { when: /WRONGTYPE\b/, code: 'CONFLICT', advice: 'Something else has this name: delete it, or use another prefix.' },
  { when: /\bOOM\b/, code: 'THROTTLED', advice: 'Give Redis more memory, or wait until queues are shorter.' },
  {
    when: /\b(LOADING|BUSY|MASTERDOWN|READONLY|MISCONF|NOREPLICAS)\b/,
    code: 'UNAVAILABLE',
    advice: 'Check the server; the next call asks again.',
  },
];
const LOST: Rule = { when: /^/, code: 'UNAVAILABLE', advice: 'Check that Redis runs; the next call connects again.' };

/** Says what was attempted, what Redis said and what to do. `lost`: what a call without an answer is. */
export function toWaybillError(cause: unknown, attempted: string, lost = LOST.code): WaybillError {
  if (WaybillError.is(cause)) return cause;
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause));
  const replied = name === 'ReplyError';
  const rule = replied ? RULES.find(({ when }) => when.test(message)) : { ...LOST, code: lost };
  const text = `Could not ${attempted}: ${message.replace(/\.$/, '')}. ${rule?.advice ?? ''}`.trimEnd();
  return new WaybillError(rule?.code ?? 'UNKNOWN', text, { cause: withoutCommand(name, message) });
}

/** ioredis keeps the command on its errors: the password of a refused login, the bodies of a send. */
function withoutCommand(name: string, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return error;
}
