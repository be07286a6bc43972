import { performance } from 'node:perf_hooks';
import {
  type Delivery,
  type Driver,
  type Lane,
  type OutgoingMessage,
  type Queue,
  type Settlement,
  type SubscribeOptions,
  type Subscription,
  WaybillError,
  BatchError,
} from '@waybill/core/driver';
import { type FakeTime, fakeTime, memory, MemoryBroker, type MemoryDriver, type MemoryOptions } from '@waybill/memory';
import { afterEach, beforeEach, vi } from 'vitest';
import { z } from 'zod';
import {
  type Bus,
  type BusOptions,
  createBus,
  type DeadLetter,
  defineCommand,
  defineEvent,
  defineQueue,
  type ObserveEvent,
  type QueueContract,
  type Used,
} from '../../src/index.ts';

export const Noted = defineEvent('note.taken', z.object({ n: z.number(), text: z.string().optional() }), {
  topic: 'notes',
});
export const Placed = defineEvent('order.placed', z.object({ key: z.string(), n: z.number() }), {
  topic: 'orders',
}).keyedBy(({ key }) => key);
export const Paid = defineEvent('order.paid', z.object({ key: z.string(), n: z.number() }), {
  topic: 'payments',
}).keyedBy(({ key }) => key);
export const Render = defineCommand('invoice.render', z.object({ n: z.number(), text: z.string().optional() }));
/** Unordered, on a topic. */
export const notes = defineQueue('notes', { handles: [Noted] });
/** A second queue of the same topic. */
export const archive = defineQueue('archive', { handles: [Noted] });
/** Ordered by key, on two topics. */
export const ledger = defineQueue('ledger', { handles: [Placed, Paid], ordered: true });
/** Unordered, commands. */
export const invoices = defineQueue('invoices', { handles: [Render] });
export const EVERYTHING = [notes, archive, ledger, invoices] as const;

export const never: AbortSignal = new AbortController().signal;

/** What a refused call rejects with. */
export const unavailable = (): WaybillError => new WaybillError('UNAVAILABLE', 'The seam refuses.');

/** A driver between the bus and the memory driver: records calls, refuses, delays or stops them. */
export class Seam implements Driver {
  readonly spec = 1;
  readonly inner: MemoryDriver;
  declare readonly browse?: NonNullable<Driver['browse']>;
  declare boundTypes?: NonNullable<Driver['boundTypes']>;
  declare readonly admin?: NonNullable<Driver['admin']>;
  /** Stored, in order. */
  readonly sent: OutgoingMessage[] = [];
  /** Asked for, whatever became of it. */
  readonly settlements: Settlement[] = [];
  readonly extended: Delivery[] = [];
  readonly resizes: number[] = [];
  /** By call of `boundTypes`. */
  readonly asked: (readonly string[])[] = [];
  readonly subscriptions: Subscription[] = [];
  closes = 0;
  /** Whether the broker hands out at most what it was told to; else only what `receive` asks for bounds it. */
  prefetch = true;
  /** What a message, or a settlement, is refused with. */
  refuse: ((message: OutgoingMessage) => WaybillError | undefined) | undefined;
  refuseSettlement: ((settlement: Settlement) => WaybillError | undefined) | undefined;
  beforeSend: ((batch: readonly OutgoingMessage[], signal: AbortSignal) => Promise<void> | void) | undefined;
  afterSend: ((batch: readonly OutgoingMessage[]) => Promise<void> | void) | undefined;
  beforeSettle: ((batch: readonly Settlement[]) => Promise<void> | void) | undefined;
  beforeExtend: (() => Promise<void> | void) | undefined;
  beforeSubscribe: ((queue: Queue, lane: Lane) => Promise<void> | void) | undefined;
  beforeResize: (() => Promise<void> | void) | undefined;
  beforeBoundTypes: (() => Promise<void> | void) | undefined;
  beforeClose: (() => Promise<void> | void) | undefined;
  onReceived: ((deliveries: readonly Delivery[]) => void) | undefined;

  constructor(inner: MemoryDriver) {
    this.inner = inner;
    if (inner.browse !== undefined) this.browse = inner.browse.bind(inner);
    if (inner.admin !== undefined) this.admin = inner.admin;
    const boundTypes = inner.boundTypes?.bind(inner);
    if (boundTypes === undefined) return;
    this.boundTypes = async (queue, types) => {
      this.asked.push(types);
      await this.beforeBoundTypes?.();
      return boundTypes(queue, types);
    };
  }

  get name(): string {
    return this.inner.name;
  }

  get capabilities(): Driver['capabilities'] {
    return this.inner.capabilities;
  }

  get limits(): Driver['limits'] {
    return this.inner.limits;
  }

  async send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    await this.beforeSend?.(batch, signal);
    // As the seam promises: of one key, nothing is stored behind what is refused.
    const blocked = new Map<string, WaybillError>();
    const refused = batch.flatMap((message, index) => {
      const place = message.key === undefined ? undefined : JSON.stringify([message.target, message.key]);
      const error = (place === undefined ? undefined : blocked.get(place)) ?? this.refuse?.(message);
      if (error !== undefined && place !== undefined) blocked.set(place, error);
      return error === undefined ? [] : [{ index, error }];
    });
    const taken = batch.filter((_, index) => !refused.some((failure) => failure.index === index));
    if (taken.length > 0) await this.inner.send(taken, signal);
    this.sent.push(...taken);
    await this.afterSend?.(taken);
    if (refused.length > 0) throw new BatchError(refused, batch.length);
  }

  async subscribe(queue: Queue, lane: Lane, options: SubscribeOptions): Promise<Subscription> {
    await this.beforeSubscribe?.(queue, lane);
    const inner = await this.inner.subscribe(
      queue,
      lane,
      this.prefetch ? options : { ...options, maxInFlight: Number.MAX_SAFE_INTEGER },
    );
    const subscription: Subscription = {
      receive: async (max, signal) => {
        const deliveries = await inner.receive(max, signal);
        if (deliveries.length > 0) this.onReceived?.(deliveries);
        return deliveries;
      },
      settle: (batch) => this.#settle(inner, batch),
      extend: async (deliveries) => {
        await this.beforeExtend?.();
        this.extended.push(...deliveries);
        return inner.extend(deliveries);
      },
      resize: async (maxInFlight) => {
        await this.beforeResize?.();
        this.resizes.push(maxInFlight);
        if (this.prefetch || maxInFlight === 0) await inner.resize(maxInFlight);
      },
      close: async (deadlineMs) => {
        this.closes += 1;
        await this.beforeClose?.();
        return inner.close(deadlineMs);
      },
    };
    this.subscriptions.push(subscription);
    return subscription;
  }

  verify(...args: Parameters<Driver['verify']>): Promise<readonly string[]> {
    return this.inner.verify(...args);
  }

  async close(deadlineMs: number): Promise<void> {
    await this.beforeClose?.();
    return this.inner.close(deadlineMs);
  }

  async #settle(inner: Subscription, batch: readonly Settlement[]): Promise<void> {
    await this.beforeSettle?.(batch);
    this.settlements.push(...batch);
    const refused = batch.flatMap((settlement, index) => {
      const error = this.refuseSettlement?.(settlement);
      return error === undefined ? [] : [{ index, error }];
    });
    const taken = batch.filter((_, index) => !refused.some((failure) => failure.index === index));
    if (taken.length > 0) await inner.settle(taken);
    if (refused.length > 0) throw new BatchError(refused, batch.length);
  }
}

/** One process: its bus, its connection, and everything that its observe hook saw. */
export interface Process {
  readonly bus: Bus;
  readonly driver: MemoryDriver;
  readonly seam: Seam;
  readonly events: readonly ObserveEvent[];
  seen<Name extends ObserveEvent['name']>(name: Name): Extract<ObserveEvent, { readonly name: Name }>[];
  /** As if the process died: its driver answers nothing any more, the broker has back what it held. */
  kill(): void;
}

export type ProcessOptions = Partial<Omit<BusOptions, 'driver' | 'clock'>> & {
  readonly memory?: MemoryOptions;
  readonly clock?: BusOptions['clock'];
};

/** One broker on a clock that stands still, and the processes around it. Ended after the test. */
export class World {
  readonly time: FakeTime = fakeTime();
  readonly broker: MemoryBroker = new MemoryBroker({ clock: this.time });
  readonly #memory: MemoryOptions;
  readonly #processes: Process[] = [];

  /** `options` of every driver of this world. */
  constructor(options: MemoryOptions = {}) {
    this.#memory = options;
    worlds.add(this);
  }

  process(
    uses: readonly Used[] = this.#memory.capabilities?.ordering === 'none' ? [notes, archive, invoices] : EVERYTHING,
    options: ProcessOptions = {},
  ): Process {
    const { memory: own, clock, observe, ...bus } = options;
    const driver = memory({ broker: this.broker, ...this.#memory, ...own });
    const seam = new Seam(driver);
    const events: ObserveEvent[] = [];
    const process: Process = {
      bus: createBus({
        source: '/test',
        uses,
        random: () => 0,
        clock: clock ?? this.time,
        ...bus,
        driver: seam,
        observe: (event) => (events.push(event), observe?.(event)),
      }),
      driver,
      seam,
      events,
      seen: (name) =>
        events.filter((event): event is Extract<ObserveEvent, { readonly name: typeof name }> => event.name === name),
      kill: () => driver.connection.kill(),
    };
    this.#processes.push(process);
    return process;
  }

  /** A driver without a bus, to see and do what a bus would not. */
  raw(options: MemoryOptions = {}): MemoryDriver {
    return memory({ broker: this.broker, ...this.#memory, ...options });
  }

  queue(queue: QueueContract): { ready: number; inFlight: number; delayed: number; dead: number } {
    const stored = this.broker.queues.get(queue.name);
    const depth = stored?.depth();
    return {
      ready: depth?.ready ?? 0,
      inFlight: depth?.inFlight ?? 0,
      delayed: depth?.delayed ?? 0,
      dead: depth?.deadLettered ?? 0,
    };
  }

  /** Lets time go on until `condition` holds; fails when it does not within `withinMs`. */
  async until(condition: () => boolean, withinMs = 60_000): Promise<void> {
    const deadline = this.time.now() + withinMs;
    while (!condition()) {
      if (this.time.now() >= deadline) throw new Error(`It does not hold within ${withinMs} ms: ${String(condition)}`);
      await this.time.advance(10);
    }
  }

  async end(): Promise<void> {
    this.broker.start();
    for (const { driver, seam } of this.#processes) {
      seam.beforeClose = undefined;
      driver.connection.kill();
    }
    const closed = Promise.all(this.#processes.map(({ bus }) => bus.close({ deadlineMs: 0 })));
    await this.time.advance(1);
    await closed;
  }
}

const worlds = new Set<World>();
let monotonicMs = 0;
// A busy machine must not look like a frozen process.
beforeEach(() => void vi.spyOn(performance, 'now').mockImplementation(() => monotonicMs));
afterEach(async () => {
  for (const world of worlds) await world.end();
  worlds.clear();
  vi.restoreAllMocks();
});
vi.setConfig({ testTimeout: 60_000 });

/** As if this process had been stopped for `ms`: the system's clock went on, its timers did not. */
export function freeze(ms: number): void {
  monotonicMs += ms;
}

/** Publishes what opens a consumer of {@link notes}: 20 harmless messages, `n` -1. */
export async function warmUp(publish: () => Promise<void>, time: FakeTime): Promise<void> {
  for (let count = 0; count < 20; count += 1) await publish();
  await time.advance(10);
}

export async function letters(bus: Bus, queue: QueueContract): Promise<readonly DeadLetter[]> {
  const all: DeadLetter[] = [];
  for await (const letter of bus.deadLetters(queue)) all.push(letter);
  return all;
}

/** A promise with its handles outside. */
export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

export function gate(): Gate {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

export const range = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);

/** A message that is not made by a bus. */
export function foreign(
  queue: string,
  id: string,
  options: Partial<OutgoingMessage> & { readonly lane?: Lane } = {},
): OutgoingMessage {
  const { lane = 'work', ...rest } = options;
  return {
    target: { queue, lane },
    id,
    type: 'note.taken',
    contentType: 'text/plain',
    body: new TextEncoder().encode(id),
    headers: {},
    ...rest,
  };
}

/** A structured CloudEvent, as another program would write it. */
export function cloudEvent(
  queue: string,
  event: Record<string, unknown>,
  options: Partial<OutgoingMessage> = {},
): OutgoingMessage {
  const whole = {
    specversion: '1.0',
    id: 'foreign-1',
    source: '/elsewhere',
    type: 'note.taken',
    dataversion: 1,
    ...event,
  };
  return foreign(queue, 'stored-by-another', {
    type: whole.type,
    contentType: 'application/cloudevents+json',
    body: new TextEncoder().encode(JSON.stringify(whole)),
    ...options,
  });
}

/** The bookkeeping of a stored copy. */
export function bookkeepingOf(message: {
  readonly headers: Readonly<Record<string, string>>;
}): Record<string, unknown> {
  const header = message.headers['waybill'];
  if (header === undefined) throw new Error('it has no bookkeeping');
  return JSON.parse(header) as Record<string, unknown>;
}
