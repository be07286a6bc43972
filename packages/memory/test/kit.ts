import type { Delivery, Lane, OutgoingMessage, Queue, Subscription, Topic, WaybillError } from '@waybill/core/driver';
import { type FakeTime, fakeTime, memory, MemoryBroker, type MemoryDriver, type MemoryOptions } from '../src/index.ts';

export const never: AbortSignal = new AbortController().signal;
export const orders: Topic = { name: 'orders', keyed: false };
export const billing: Queue = {
  name: 'billing',
  ordered: false,
  bindings: [{ topic: orders, types: ['order.placed'] }],
};
export const ledger: Queue = { name: 'ledger', ordered: true, bindings: [] };

export interface Setup {
  readonly time: FakeTime;
  readonly broker: MemoryBroker;
  readonly driver: MemoryDriver;
}

/** A broker on a fake clock with the topic `orders` and the queues `billing` and `ledger`, made by `driver`. */
export async function setup(options: MemoryOptions = {}): Promise<Setup> {
  const time = fakeTime();
  const broker = new MemoryBroker({ clock: time });
  const driver = memory({ broker, ...options });
  const queues = options.capabilities?.ordering === 'none' ? [billing] : [billing, ledger];
  await admin(memory({ broker, ...options, admin: true })).apply({ topics: [orders], queues }, never);
  return { time, broker, driver };
}

export function admin(driver: MemoryDriver): NonNullable<MemoryDriver['admin']> {
  if (driver.admin === undefined) throw new Error('this driver has no admin');
  return driver.admin;
}

export interface MessageOptions extends Partial<OutgoingMessage> {
  readonly lane?: Lane;
}

/** To the queue `billing`, unless told otherwise; the body is the id. */
export function message(id: string, { lane = 'work', ...options }: MessageOptions = {}): OutgoingMessage {
  return {
    target: { queue: 'billing', lane },
    id,
    type: 'order.placed',
    contentType: 'text/plain',
    body: new TextEncoder().encode(id),
    headers: {},
    ...options,
  };
}

export function toLedger(id: string, key: string): OutgoingMessage {
  return message(id, { target: { queue: 'ledger', lane: 'work' }, key });
}

export interface OpenOptions {
  readonly lane?: Lane;
  readonly maxInFlight?: number;
}

export interface Opened {
  readonly subscription: Subscription;
  readonly lost: { readonly deliveries: readonly Delivery[]; readonly cause: WaybillError }[];
  receive(max?: number): Promise<readonly Delivery[]>;
  /** What there is now; none after a turn of the event loop without any. */
  poll(max?: number): Promise<readonly Delivery[]>;
  accept(...deliveries: readonly Delivery[]): Promise<void>;
  release(...deliveries: readonly Delivery[]): Promise<void>;
  reject(delivery: Delivery): Promise<void>;
}

export async function open(driver: MemoryDriver, queue: Queue = billing, options: OpenOptions = {}): Promise<Opened> {
  const { lane = 'work', maxInFlight = 1_000 } = options;
  const lost: Opened['lost'] = [];
  const onLost = (deliveries: readonly Delivery[], cause: WaybillError): void => void lost.push({ deliveries, cause });
  const subscription = await driver.subscribe(queue, lane, { maxInFlight, onLost });
  return {
    subscription,
    lost,
    receive: (max = 1_000) => subscription.receive(max, never),
    poll(max = 1_000) {
      const stop = new AbortController();
      setImmediate(() => setImmediate(() => stop.abort()));
      return subscription.receive(max, stop.signal);
    },
    accept: (...deliveries) => subscription.settle(deliveries.map((delivery) => ({ delivery, action: 'accept' }))),
    release: (...deliveries) => subscription.settle(deliveries.map((delivery) => ({ delivery, action: 'release' }))),
    reject: (delivery) =>
      subscription.settle([{ delivery, action: 'reject', reason: 'rejected', headers: { waybill: '{}' } }]),
  };
}

export const bodies = (deliveries: readonly Delivery[]): string[] =>
  deliveries.map((delivery) => new TextDecoder().decode(delivery.body));
