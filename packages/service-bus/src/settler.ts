import type { ServiceBusReceivedMessage, ServiceBusReceiver } from '@azure/service-bus';
import { type BatchFailure, type Settlement, systemClock, WaybillError } from '@waybill/core/driver';
import { completeOnLink, forgetAnswer } from './client-parts.ts';
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
  /** Asked where it cannot be settled on its link at once. */
  settling(): Settling;
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
  const open = new Set<Task>();
  const end: End = (task, cause) => {
    if (!open.delete(task) || cause === undefined) return;
    failures.push({ index: task.index, error: refusalOf(cause, task.settlement) });
  };
  const waiting: Promise<void>[] = [];
  const start = (task: Task): void => {
    open.add(task);
    waiting.push(
      perform(task).then(
        () => end(task),
        (cause: unknown) => end(task, cause),
      ),
    );
  };
  const accepted = tasks.filter(({ settlement }) => settlement.action === 'accept');
  for (const task of accepted) open.add(task);
  waiting.push(completeAll(life, accepted, { start, end }));
  for (const task of tasks) {
    if (task.settlement.action === 'accept') continue;
    // rhea writes the first two of a turn as one, whatever their outcomes.
    await nextTurn();
    start(task);
  }
  try {
    await life.answered(Promise.all(waiting), life.timeoutMs, 'settle deliveries');
  } catch (cause) {
    for (const { index } of open) failures.push({ index, error: toWaybillError(cause, 'settle deliveries') });
    open.clear();
  }
  return failures;
}

/** Hears of each task once, with why it failed if it did. */
type End = (task: Task, cause?: unknown) => void;

/** Resolves once all that could be completed on their links are ended; the others are started. */
function completeAll(
  life: ClientLife,
  tasks: readonly Task[],
  { start, end }: { readonly start: (task: Task) => void; readonly end: End },
): Promise<void> {
  return new Promise((resolve) => {
    const left = new Set<Task>();
    const cancel = systemClock.after(life.timeoutMs, () => {
      for (const task of left) {
        forgetAnswer(life.client, messageOf(task));
        answered(task, new WaybillError('UNAVAILABLE', 'Service Bus did not say whether the deliveries are settled.'));
      }
    });
    const answered: End = (task, cause) => {
      end(task, cause);
      left.delete(task);
      if (left.size > 0) return;
      cancel();
      resolve();
    };
    for (const task of tasks) {
      if (completeOnLink(life.client, messageOf(task), (cause) => answered(task, cause))) left.add(task);
      else start(task);
    }
    if (left.size > 0) return;
    cancel();
    resolve();
  });
}

function messageOf({ settlement }: Task): ServiceBusReceivedMessage {
  return settlement.delivery.raw as ServiceBusReceivedMessage;
}

async function perform(task: Task): Promise<void> {
  const { settlement } = task;
  const settling = task.settling();
  const message = messageOf(task);
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
