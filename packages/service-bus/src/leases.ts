import type { ServiceBusReceivedMessage, ServiceBusReceiver } from '@azure/service-bus';
import { type Delivery, systemClock } from '@waybill/core/driver';
import type { ClientLife } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';

/** A lock to renew, and by whom. */
export interface Lock {
  readonly delivery: Delivery;
  readonly settler: ServiceBusReceiver;
}

/**
 * Renews each lock by its own token. Resolves with the new ends in local time, 0 where the broker says that it is lost,
 * or where there is none to renew. Rejects when one could not be asked.
 */
export async function renewAll(
  life: ClientLife,
  locks: readonly (Lock | undefined)[],
  leaseMs: number,
): Promise<readonly number[]> {
  const longest = systemClock.now() + leaseMs;
  const renew = async (lock: Lock | undefined): Promise<number> => {
    if (lock === undefined) return 0;
    try {
      const until = await lock.settler.renewMessageLock(lock.delivery.raw as ServiceBusReceivedMessage);
      return Math.min(until.getTime(), longest);
    } catch (cause) {
      const error = toWaybillError(cause, `renew the lock of ${lock.delivery.position}`);
      if (error.code === 'LEASE_LOST' || error.code === 'NOT_FOUND') return 0;
      throw error;
    }
  };
  return life.answered(Promise.all(locks.map(renew)), life.timeoutMs, 'renew locks');
}
