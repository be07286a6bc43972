import { WaybillError, type WaybillErrorCode } from '@waybill/core/driver';

/** What Redis replies, first match wins. */
const RULES: readonly (readonly [when: RegExp, code: WaybillErrorCode, advice: string])[] = [
  [/NOAUTH|WRONGPASS|NOPERM/, 'PERMISSION_DENIED', 'Check user, password and ACL.'],
  [/NOGROUP/, 'NOT_FOUND', 'Create it, or apply the topology.'],
  [/WRONGTYPE/, 'CONFLICT', 'Something else has this name: delete it, or use another prefix.'],
  [/OOM/, 'THROTTLED', 'Give Redis more memory, or wait until queues are shorter.'],
  [/LOADING|BUSY|MASTERDOWN|READONLY|MISCONF|NOREPLICAS/, 'UNAVAILABLE', 'Check the server; the next call asks again.'],
  [/^/, 'UNKNOWN', 'Report it, so that it gets a code.'],
];

/** Says what was attempted, what Redis said and what to do. `lost`: what it means that Redis said nothing. */
export function toWaybillError(cause: Error, attempted: string, lost: WaybillErrorCode = 'UNAVAILABLE'): WaybillError {
  const { name, message } = cause;
  const silence = [/^(?!ReplyError )/, lost, 'Check that Redis runs; the next call connects again.'] as const;
  const [, code, advice] = [silence, ...RULES].find(([when]) => when.test(`${name} ${message}`)) ?? silence;
  return new WaybillError(code, `Could not ${attempted}: ${message}. ${advice}`, { cause: replyError(message, name) });
}

/** ioredis keeps the command on its errors: the password of a refused login, the bodies of a send. */
export function replyError(message: string, name = 'ReplyError'): Error {
  return Object.assign(new Error(message), { name });
}
