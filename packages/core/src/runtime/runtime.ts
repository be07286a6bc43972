import type { Bus, BusHealth, CloseOptions, Consumer, SignalOption } from '../bus.ts';
import type { Contract, EventContract, InputOf } from '../contract/contract.ts';
import type { CommandOf, QueueContract } from '../contract/define-queue.ts';
import { type Awaitable, isPromise } from '../contract/validate.ts';
import type { Admin, Depth, Driver, Lane, OutgoingMessage, Topology } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { FreezeWatch } from '../failure/clocks.ts';
import { type CloseTimes, closeTimes, settledBy } from '../failure/close.ts';
import { allStored } from './all-stored.ts';
import { type BusOptions, type BusSettings, busSettings } from './bus-options.ts';
import { type ConsumeOptions, consumeSettings } from './consume-options.ts';
import { QueueConsumer } from './consumer.ts';
import { type DeadLane, type DeadLetter, eachIn, listLetters } from './dead-letters.ts';
import { type AnyHandler, checkHandlers, type Handlers } from './handler-context.ts';
import { busHealth } from './health.ts';
import { composeCodec, composeHandle, type Send, withDispatch } from './middleware.ts';
import { clientWatch, guarded, type Observe } from './observe.ts';
import { Preparer, type PublishOptions, type SendOptions } from './prepare.ts';
import { Provisioner } from './provisioner.ts';
import { Publisher } from './publisher.ts';
import { type RedriveOptions, type RedriveResult, redrive } from './redrive.ts';
import { Registry } from './registry.ts';
import { unlessAborted } from './waiting.ts';

const LEASE_TICK_MS = 500;
const NEVER: AbortSignal = new AbortController().signal;

/** Wires the parts of a bus together; {@link Bus} says what each member does. */
export class Runtime implements Bus {
  readonly #settings: BusSettings;
  readonly #driver: Driver;
  readonly #observe: Observe | undefined;
  readonly #registry: Registry;
  readonly #provisioner: Provisioner;
  readonly #preparer: Preparer;
  readonly #publisher: Publisher;
  readonly #freeze: FreezeWatch;
  readonly #consumers = new Set<QueueConsumer>();
  readonly #middleware: ReturnType<typeof composeHandle>;
  readonly #codec: ReturnType<typeof composeCodec>;
  /** The last publish that waits for an asynchronous schema or codec. */
  #preparing: Promise<unknown> | undefined;
  #cancelTick: () => void;
  #closing: Promise<void> | undefined;
  /** Calls that somebody awaits, beside what is published. */
  #awaited = 0;

  constructor(options: BusOptions) {
    const settings = busSettings(options);
    const { driver, clock, prefix, source, middleware } = settings;
    this.#settings = settings;
    this.#driver = driver;
    this.#observe = guarded(settings.observe);
    this.#registry = new Registry(settings.uses, prefix, driver);
    const watch = clientWatch(driver, this.#observe);
    this.#provisioner = new Provisioner(driver, this.#registry.topology, settings.provision, watch);
    this.#middleware = composeHandle(middleware);
    this.#codec = composeCodec(middleware);
    this.#preparer = new Preparer({ source, prefix, clock, driver, codec: this.#codec });
    this.#freeze = new FreezeWatch(
      () => this.#keepAlive(),
      (frozenMs) => this.#frozen(frozenMs),
    );
    this.#publisher = new Publisher({
      send: this.#sender(),
      limit: driver.limits.send,
      clock,
      timeoutMs: settings.sendTimeoutMs,
      maxPendingBytes: settings.maxPendingBytes,
      reconnect: settings.reconnect,
      random: settings.random,
      observe: this.#observe,
      beforeSend: () => this.#freeze.check(),
    });
    this.#cancelTick = this.#tick();
  }

  publish<E extends EventContract>(event: E, data: InputOf<E>, options?: PublishOptions & SignalOption): Promise<void> {
    return this.#send(() => {
      this.#registry.checkEvent(event);
      return this.#preparer.prepare({ contract: event, data, options });
    }, options?.signal);
  }

  send<Q extends QueueContract, C extends CommandOf<Q>>(
    queue: Q,
    command: C,
    data: InputOf<C>,
    options?: SendOptions & SignalOption,
  ): Promise<void> {
    return this.#send(() => {
      this.#registry.checkCommand(queue, command);
      return this.#preparer.prepare({ contract: command, queue: queue.name, data, options });
    }, options?.signal);
  }

  async prepare<E extends EventContract>(
    event: E,
    data: InputOf<E>,
    options?: PublishOptions,
  ): Promise<OutgoingMessage> {
    this.#registry.checkEvent(event);
    return this.#preparer.prepare({ contract: event, data, options });
  }

  async prepareSend<Q extends QueueContract, C extends CommandOf<Q>>(
    queue: Q,
    command: C,
    data: InputOf<C>,
    options?: SendOptions,
  ): Promise<OutgoingMessage> {
    this.#registry.checkCommand(queue, command);
    return this.#preparer.prepare({ contract: command, queue: queue.name, data, options });
  }

  async dispatch(batch: readonly OutgoingMessage[], options?: SignalOption): Promise<void> {
    await allStored(batch.map((message) => this.#publish(message, options?.signal)));
  }

  async consume<C extends Contract>(
    definition: QueueContract<C>,
    handlers: Handlers<C>,
    options: ConsumeOptions = {},
  ): Promise<Consumer> {
    this.#checkOpen();
    const consumer = this.#consumer(definition, checkHandlers(definition, handlers), options);
    this.#consumers.add(consumer);
    this.#keepAlive();
    try {
      await consumer.start(options.signal);
    } catch (error) {
      this.#consumers.delete(consumer);
      throw error;
    }
    const close = async ({ deadlineMs }: CloseOptions = {}): Promise<void> => {
      await consumer.close(closeTimes(this.#settings.clock, deadlineMs));
      this.#consumers.delete(consumer);
    };
    return { health: () => consumer.health(), close, [Symbol.asyncDispose]: () => close() };
  }

  deadLetters(definition: QueueContract, { signal }: SignalOption = {}): AsyncIterable<DeadLetter> {
    this.#checkOpen();
    this.#registry.queue(definition);
    const open = (): Promise<DeadLane> => this.#deadLane(definition, signal);
    return { [Symbol.asyncIterator]: () => eachIn(listLetters(open, signal), (step) => this.#kept(step)) };
  }

  redrive(definition: QueueContract, options: RedriveOptions = {}): Promise<RedriveResult> {
    return this.#kept(this.#redrive(definition, options));
  }

  async #redrive(definition: QueueContract, options: RedriveOptions): Promise<RedriveResult> {
    const lane = await this.#deadLane(definition, options.signal);
    const store = (messages: readonly OutgoingMessage[]): Promise<void> => this.dispatch(messages);
    const result = await redrive({ ...lane, store }, options);
    this.#observe?.({ name: 'redriven', queue: definition.name, count: result.redriven });
    return result;
  }

  async purge(definition: QueueContract, lane: Lane, { signal }: SignalOption = {}): Promise<void> {
    const admin = this.#admin('purge');
    const { queue } = await this.#deadLane(definition, signal);
    await this.#kept(unlessAborted(admin.purge(queue, lane), signal));
  }

  async depth(definition: QueueContract, { signal }: SignalOption = {}): Promise<Depth> {
    const admin = this.#admin('depth');
    const { queue } = await this.#deadLane(definition, signal);
    return this.#kept(unlessAborted(admin.depth(queue), signal));
  }

  health(): BusHealth {
    const consumers = [...this.#consumers].map((consumer) => consumer.health());
    return busHealth(this.#driver.name, consumers, this.#publisher);
  }

  topology(): Topology {
    return this.#registry.topology;
  }

  async provision(
    mode: 'create' | 'verify' = this.#settings.provision,
    options: SignalOption = {},
  ): Promise<readonly string[]> {
    const provisioner = this.#provisioner.inMode(mode);
    provisioner.again();
    return this.#kept(provisioner.ensure(options.signal ?? NEVER));
  }

  close({ deadlineMs }: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(closeTimes(this.#settings.clock, deadlineMs));
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(times: CloseTimes): Promise<void> {
    const { clock } = this.#settings;
    this.#freeze.keepAlive(true);
    await Promise.all([...this.#consumers].map((consumer) => consumer.close(times)));
    await settledBy(clock, times.deadlineMs - 250, this.#publisher.flushed());
    this.#publisher.close();
    await settledBy(clock, times.deadlineMs, this.#driver.close(times.deadlineMs));
    this.#cancelTick();
    this.#freeze.stop();
  }

  #consumer(
    definition: QueueContract,
    handlers: Readonly<Record<string, AnyHandler>>,
    options: ConsumeOptions,
  ): QueueConsumer {
    const { clock, random, reconnect } = this.#settings;
    return new QueueConsumer({
      name: definition.name,
      queue: this.#registry.queue(definition),
      contracts: new Map(definition.handles.map((contract) => [contract.type, contract])),
      settings: consumeSettings(definition, options, this.#driver),
      handlers,
      clock,
      random,
      reconnect,
      driver: this.#driver,
      publisher: this.#publisher,
      preparer: this.#preparer,
      checkSend: (contract, queue) => this.#checkSend(contract, queue),
      middleware: this.#middleware,
      codec: this.#codec,
      observe: this.#observe,
      noticeFreeze: () => this.#freeze.check(),
      provision: (signal, again) => this.#provision(signal, again),
    });
  }

  #checkSend(contract: Contract, queue: QueueContract | undefined): void {
    if (queue === undefined) this.#registry.checkEvent(contract);
    else this.#registry.checkCommand(queue, contract);
  }

  /** A queue, seen to be there. */
  async #deadLane(definition: QueueContract, signal: AbortSignal | undefined): Promise<DeadLane> {
    this.#checkOpen();
    const queue = this.#registry.queue(definition);
    await this.#kept(unlessAborted(this.#provisioner.ensure(signal ?? NEVER), signal));
    return { driver: this.#driver, queue, name: definition.name, clock: this.#settings.clock, codec: this.#codec };
  }

  #send(prepare: () => Awaitable<OutgoingMessage>, signal: AbortSignal | undefined): Promise<void> {
    try {
      this.#checkOpen();
      const message = prepare();
      if (!isPromise(message) && this.#preparing === undefined) return this.#publish(message, signal);
      return this.#publishInTurn(message, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Behind what was published earlier and is still being encoded: else a slow codec would change the order of a key. */
  async #publishInTurn(message: Awaitable<OutgoingMessage>, signal: AbortSignal | undefined): Promise<void> {
    const earlier = this.#preparing;
    const prepared = Promise.allSettled([message, earlier]).then(([result]) => result);
    this.#preparing = prepared;
    const result = await prepared;
    if (this.#preparing === prepared) this.#preparing = undefined;
    if (result.status === 'rejected') throw result.reason;
    return this.#publish(result.value, signal);
  }

  #publish(message: OutgoingMessage, signal: AbortSignal | undefined): Promise<void> {
    if (this.#publisher.pending === 0) this.#freeze.keepAlive(true);
    return this.#publisher.publish(message, signal);
  }

  #sender(): Send {
    const send: Send = (batch, signal) => this.#driver.send(batch, signal);
    const dispatched = withDispatch(this.#settings.middleware, send);
    return (batch, signal) => {
      if (this.#provisioner.done) return dispatched(batch, signal);
      return this.#provisioner.ensure(signal).then(() => dispatched(batch, signal));
    };
  }

  async #provision(signal: AbortSignal, again: boolean): Promise<void> {
    if (again) this.#provisioner.again();
    await this.#provisioner.ensure(signal);
  }

  #admin(what: string): Admin {
    this.#checkOpen();
    const { admin } = this.#driver;
    if (admin !== undefined) return admin;
    throw new WaybillError(
      'UNSUPPORTED',
      `${what} needs management rights, which this ${this.#driver.name} driver was not given: give them to it, or call ${what} from a process that has them.`,
    );
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new WaybillError('CLOSED', 'The bus is closed.');
  }

  #tick(): () => void {
    return this.#settings.clock.after(LEASE_TICK_MS, () => {
      this.#publisher.tick();
      for (const consumer of this.#consumers) consumer.tick();
      this.#cancelTick = this.#tick();
    });
  }

  /** The process does not end before this does, whatever it waits for: timers of the seam keep none alive. */
  async #kept<T>(work: Promise<T>): Promise<T> {
    this.#awaited += 1;
    this.#keepAlive();
    try {
      return await work;
    } finally {
      this.#awaited -= 1;
      this.#keepAlive();
    }
  }

  /** A process with a consumer, with something to store, or with a call that is awaited does not end by itself. */
  #keepAlive(): void {
    const { pending } = this.#publisher;
    this.#freeze.keepAlive(this.#consumers.size > 0 || pending > 0 || this.#awaited > 0 || this.#closing !== undefined);
  }

  #frozen(frozenMs: number): void {
    this.#observe?.({ name: 'frozen', frozenMs });
    for (const consumer of this.#consumers) consumer.doubtAll();
  }
}
