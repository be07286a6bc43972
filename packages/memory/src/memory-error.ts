import { WaybillError } from '@waybill/core/driver';

export function notFound(kind: 'queue' | 'topic', name: string): WaybillError {
  const title = kind === 'queue' ? 'Queue' : 'Topic';
  return new WaybillError('NOT_FOUND', `${title} "${name}" not found in the memory broker. Create it, or run apply.`);
}

export function unavailable(why: string): WaybillError {
  return new WaybillError('UNAVAILABLE', `The broker has the deliveries back: ${why}. Try again.`);
}

export function closed(what: string): WaybillError {
  return new WaybillError('CLOSED', `${what} is closed. Make a new one.`);
}

export function leaseLost(position: string): WaybillError {
  return new WaybillError(
    'LEASE_LOST',
    `${position} is no longer held here: the broker will hand it out, or has done so.`,
  );
}
