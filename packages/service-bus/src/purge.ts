import type { ServiceBusReceiver, ServiceBusSessionReceiver } from '@azure/service-bus';
import { type Lane, pause, type Queue, systemClock } from '@waybill/core/driver';
import Long from 'long';
import { RECEIVING } from './receiver-link.ts';
import type { ClientLife } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import { placesOf } from './service-bus-topology.ts';

const PAGE = 250;
const CREDIT = 500;
/** An entity that says nothing for so long is empty, or what is left is in other hands. */
const QUIET_MS = 1_000;
const QUIET_SESSION_MS = 250;
const PARALLEL_SESSIONS = 16;
const DELETING = { ...RECEIVING, receiveMode: 'receiveAndDelete' } as const;

export interface LaneOf {
  readonly queue: Queue;
  readonly lane: Lane;
}

/** Takes and deletes what nobody holds; `left` says how many are in the work lane. */
export async function purgeLane(life: ClientLife, { queue, lane }: LaneOf, left: () => Promise<number>): Promise<void> {
  if (lane === 'dead') {
    const receivers = placesOf(queue, lane).map(({ path }) => life.client.createReceiver(path, DELETING));
    await Promise.all(receivers.map((receiver) => empty(life, receiver, QUIET_MS)));
    return;
  }
  if (queue.ordered) await emptySessions(life, queue.name, left);
  else await empty(life, life.client.createReceiver(queue.name, DELETING), QUIET_MS);
  await cancelScheduled(life, queue.name);
}

/** Until nothing has come for `quietMs`. */
async function empty(
  life: ClientLife,
  receiver: ServiceBusReceiver | ServiceBusSessionReceiver,
  quietMs: number,
): Promise<void> {
  let last = systemClock.now();
  const ended = new AbortController();
  let failure: unknown;
  const handlers = {
    processMessage: async () => {
      last = systemClock.now();
    },
    processError: async ({ error }: { readonly error: unknown }) => {
      failure ??= error;
      ended.abort();
    },
    postInitialize: async () => {
      last = systemClock.now();
    },
  };
  receiver.subscribe(handlers, { maxConcurrentCalls: CREDIT, abortSignal: ended.signal });
  while (systemClock.now() - last < quietMs && failure === undefined && life.lost === undefined) {
    await pause(systemClock, quietMs / 2, ended.signal);
  }
  ended.abort();
  await life.whileAlive(receiver.close());
  if (failure !== undefined) throw failure as Error;
}

async function emptySessions(life: ClientLife, queue: string, left: () => Promise<number>): Promise<void> {
  let isOver = false;
  const worker = async (): Promise<void> => {
    while (!isOver && (await left()) > 0) {
      try {
        const session = await life.whileAlive(life.client.acceptNextSession(queue, DELETING));
        await empty(life, session, QUIET_SESSION_MS);
      } catch (cause) {
        isOver = true;
        // The others are in the hands of consumers.
        if (toWaybillError(cause, 'accept a session').code !== 'TIMEOUT') throw cause;
      }
    }
  };
  const workers = Math.min(await left(), PARALLEL_SESSIONS);
  await Promise.all(Array.from({ length: workers }, worker));
}

async function cancelScheduled(life: ClientLife, queue: string): Promise<void> {
  const receiver = life.client.createReceiver(queue, RECEIVING);
  const sender = life.client.createSender(queue);
  let from = Long.ONE;
  for (;;) {
    const page = await life.whileAlive(receiver.peekMessages(PAGE, { fromSequenceNumber: from }));
    const last = page.at(-1)?.sequenceNumber;
    const scheduled = page
      .filter(({ state }) => state === 'scheduled')
      .map(({ sequenceNumber }) => sequenceNumber as Long);
    if (scheduled.length > 0) await life.whileAlive(sender.cancelScheduledMessages(scheduled));
    if (last === undefined) break;
    from = last.add(1);
  }
  await sender.close();
}
