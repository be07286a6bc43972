import type { ServiceBusReceivedMessage, ServiceBusReceiver } from '@azure/service-bus';
import { type BatchFailure, type Settlement, WaybillError } from '@waybill/core/driver';
import { REJECTED } from './from-service-bus-message.ts';
import { RECEIVING } from './receiver-link.ts';
import type { ClientLife } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import { propertiesFit } from './to-service-bus-message.ts';

/** A message of others may fill the limit: then its reason is all that is kept of why it is here. */
const NO_ROOM = 'Rejected by its consumer. Its properties leave no room to tell more.';

/** What settles messages of one entity: a receiver, or that of a session. */
export type Settling = Pick<ServiceBusReceiver, 'completeMessage' | 'abandonMessage' | 'deadLetterMessage'>;

/** One delivery to settle, and by whom. */
export interface Task {
  readonly index: number;
  readonly settlement: Settlement;
  readonly settling: Settling;
}

const settlers = new WeakMap<ClientLife, Map<string, ServiceBusReceiver>>();

/**
 * A receiver without a link, for the settlements of all links of an entity: over the link that a message came on while
 * it lives, over the entity's management link after that.
 */
export function settlerOf(life: ClientLife, path: string): ServiceBusReceiver {
  let own = settlers.get(life);
  if (own === undefined) settlers.set(life, (own = new Map<string, ServiceBusReceiver>()));
  let settler = own.get(path);
  if (settler === undefined) own.set(path, (settler = life.client.createReceiver(path, RECEIVING)));
  return settler;
}

/** All at once; resolves with what failed: LEASE_LOST is not ours, after UNAVAILABLE and TIMEOUT another try finds out. */
export async function settleAll(life: ClientLife, tasks: readonly Task[]): Promise<readonly BatchFailure[]> {
  const failures: BatchFailure[] = [];
  const open = new Set<number>();
  const waiting: Promise<void>[] = [];
  const start = (task: Task): void => {
    const { index, settlement } = task;
    open.add(index);
    const fail = (cause: unknown): void => {
      if (open.has(index)) failures.push({ index, error: refusalOf(cause, settlement) });
    };
    waiting.push(
      perform(task)
        .catch(fail)
        .finally(() => open.delete(index)),
    );
  };
  for (const task of tasks) if (task.settlement.action === 'accept') start(task);
  for (const task of tasks) {
    if (task.settlement.action === 'accept') continue;
    // rhea writes the first two of a turn as one, whatever their outcomes.
    await nextTurn();
    start(task);
  }
  try {
    await life.answered(Promise.all(waiting), life.timeoutMs, 'settle deliveries');
  } catch (cause) {
    for (const index of open) failures.push({ index, error: toWaybillError(cause, 'settle deliveries') });
    open.clear();
  }
  return failures;
}

async function perform({ settlement, settling }: Task): Promise<void> {
  const message = settlement.delivery.raw as ServiceBusReceivedMessage;
  if (settlement.action !== 'reject') {
    return settlement.action === 'accept' ? settling.completeMessage(message) : settling.abandonMessage(message);
  }
  const fits = propertiesFit({ ...message.applicationProperties, ...settlement.headers });
  return settling.deadLetterMessage(message, {
    ...(fits ? settlement.headers : {}),
    deadLetterReason: settlement.reason,
    deadLetterErrorDescription: fits ? REJECTED : NO_ROOM,
  });
}

/** What nobody knows the meaning of may be a broken link: another try finds out. */
function refusalOf(cause: unknown, { action, delivery }: Settlement): WaybillError {
  const error = toWaybillError(cause, `${action} delivery ${delivery.position}`);
  if (error.code !== 'UNKNOWN') return error;
  return new WaybillError('UNAVAILABLE', error.message, { cause: error.cause });
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
