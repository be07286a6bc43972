import type { ServiceBusReceiver, ServiceBusSessionReceiver } from '@azure/service-bus';
import type { Lane, Queue } from '@waybill/core/driver';
import Long from 'long';
import { RECEIVING } from './receiver-link.ts';
import type { ClientLife } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import { placesOf } from './service-bus-topology.ts';

/** What one call of the client takes at most. */
const LOT = 2_000;
const PAGE = 250;
/** How long an empty lane is listened to. */
const QUIET_MS = 300;
const DELETING = { ...RECEIVING, receiveMode: 'receiveAndDelete' } as const;

export interface LaneOf {
  readonly queue: Queue;
  readonly lane: Lane;
}

/** Takes and deletes what nobody holds; `left` says how many are in the work lane. */
export async function purgeLane(life: ClientLife, { queue, lane }: LaneOf, left: () => Promise<number>): Promise<void> {
  if (lane === 'work' && queue.ordered) await emptySessions(life, queue.name, left);
  else {
    for (const { path } of placesOf(queue, lane)) await empty(life, life.client.createReceiver(path, DELETING));
  }
  if (lane === 'work') await cancelScheduled(life, queue.name);
}

async function empty(life: ClientLife, receiver: ServiceBusReceiver | ServiceBusSessionReceiver): Promise<void> {
  try {
    for (;;) {
      const lot = await life.whileAlive(receiver.receiveMessages(LOT, { maxWaitTimeInMs: QUIET_MS }));
      if (lot.length === 0) return;
    }
  } finally {
    await receiver.close().catch(() => undefined);
  }
}

async function emptySessions(life: ClientLife, queue: string, left: () => Promise<number>): Promise<void> {
  while ((await left()) > 0) {
    let session: ServiceBusSessionReceiver;
    try {
      session = await life.whileAlive(life.client.acceptNextSession(queue, DELETING));
    } catch (cause) {
      // The others are in the hands of consumers.
      if (toWaybillError(cause, 'accept a session').code === 'TIMEOUT') return;
      throw cause;
    }
    await empty(life, session);
  }
}

async function cancelScheduled(life: ClientLife, queue: string): Promise<void> {
  const receiver = life.client.createReceiver(queue, RECEIVING);
  const sender = life.client.createSender(queue);
  let from = Long.ONE;
  for (;;) {
    const page = await life.whileAlive(receiver.peekMessages(PAGE, { fromSequenceNumber: from }));
    const last = page.at(-1)?.sequenceNumber;
    const scheduled = page.filter(({ state }) => state === 'scheduled').map(({ sequenceNumber }) => sequenceNumber as Long);
    if (scheduled.length > 0) await life.whileAlive(sender.cancelScheduledMessages(scheduled));
    if (last === undefined) break;
    from = last.add(1);
  }
  await sender.close();
}
