import { deadName, type OutgoingMessage, systemClock, type Target } from '@waybill/core/driver';

/** The six values that the script takes for a message. */
export function toRedisMessage(message: OutgoingMessage): readonly (string | number | Uint8Array)[] {
  const { target, id, type, contentType, headers, key, notBefore, body } = message;
  const kind = 'topic' in target ? 'topic' : 'queue';
  const delay = notBefore === undefined ? '' : Math.max(Math.ceil(notBefore - systemClock.now()), 0);
  return [kind, nameOf(target), type, delay, JSON.stringify({ id, type, contentType, headers, key }), body];
}

export function nameOf(target: Target): string {
  if ('topic' in target) return target.topic;
  return target.lane === 'dead' ? deadName(target.queue) : target.queue;
}
