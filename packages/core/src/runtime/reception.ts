import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Awaitable } from '../contract/validate.ts';
import type { Clock } from '../driver/clock.ts';
import type { Delivery, Subscription } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import { pause } from '../driver/wait.ts';
import { type Reconnect, backoffMs } from './backoff.ts';
import { asWaybillError } from './failures.ts';
import type { ConsumerStatus, Observe } from './observe.ts';
import { Signal } from './waiting.ts';

export interface ReceptionOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly reconnect: Reconnect;
  readonly random: () => number;
  readonly observe: Observe | undefined;
  /** Most that one call of the driver takes. */
  readonly atMost: number;
  /** Makes sure that the topology is there; `again`: something of it was missing. */
  readonly provision: (signal: AbortSignal, again: boolean) => Promise<unknown>;
  readonly subscribe: () => Promise<Subscription>;
  /** How many deliveries may come now; none before {@link Reception.poke} where it says 0. */
  readonly room: (subscription: Subscription) => Awaitable<number>;
  readonly arrive: (deliveries: readonly Delivery[]) => Awaitable<void>;
}

/** A receive that waits this long after a failure has a connection again. */
const CONNECTED_AFTER_MS = 2_000;

/** What a subscription has to end that came after the consumer was closed. */
const LATE_CLOSE_MS = 1_000;

/** The pull loop of a consumer: subscribes, asks for what there is room for, and comes back after every failure. */
export class Reception {
  readonly #options: ReceptionOptions;
  readonly #stop = new AbortController();
  readonly #changed = new Signal();
  #subscription: Subscription | undefined;
  #status: ConsumerStatus = 'starting';
  #error: WaybillError | undefined;
  #failures = 0;
  #receivingSince = Number.POSITIVE_INFINITY;
  #starting: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  constructor(options: ReceptionOptions) {
    this.#options = options;
  }

  get status(): ConsumerStatus {
    return this.#status;
  }

  get error(): WaybillError | undefined {
    return this.#error;
  }

  get subscription(): Subscription | undefined {
    return this.#subscription;
  }

  get stopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Resolves once messages sent from now on would arrive. Rejects with what cannot get better by itself, or CLOSED. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#starting = { resolve, reject };
      void this.#run();
    });
  }

  /** Receives nothing more. */
  stop(): void {
    this.#become('closed');
    this.#stop.abort();
    this.#changed.raise();
    this.#starting?.reject(new WaybillError('CLOSED', `The consumer of "${this.#options.name}" was closed.`));
    this.#starting = undefined;
  }

  /** There may be room now. */
  poke(): void {
    this.#changed.raise();
  }

  /** Resolves at the next {@link poke}. */
  changed(): Promise<void> {
    return this.#changed.wait();
  }

  /** Called every now and then. `jammed`: everything held waits, and nothing moves. */
  tick(jammed: boolean): void {
    const connected = this.#receivingSince + CONNECTED_AFTER_MS <= this.#options.clock.now();
    if (this.#status === 'starting' || (this.#status === 'down' && !connected)) return;
    this.#become(jammed ? 'degraded' : 'up');
  }

  async #run(): Promise<void> {
    const { provision, clock, reconnect, random, name } = this.#options;
    let again = false;
    while (!this.stopped) {
      try {
        await provision(this.#stop.signal, again);
        await this.#subscribe();
        await this.#receive();
      } catch (error) {
        if (this.stopped) return;
        const cause = asWaybillError(error, `Receiving from "${name}"`);
        if (this.#starting !== undefined && !cause.retryable && cause.code !== 'UNKNOWN') return this.#refuse(cause);
        again = cause.code === 'NOT_FOUND';
        this.#failures += 1;
        this.#receivingSince = Number.POSITIVE_INFINITY;
        this.#become('down', cause);
        await pause(clock, backoffMs(this.#failures, reconnect, random), this.#stop.signal);
      }
    }
  }

  #refuse(cause: WaybillError): void {
    this.#become('closed', cause);
    this.#stop.abort();
    this.#starting?.reject(cause);
    this.#starting = undefined;
  }

  async #subscribe(): Promise<void> {
    if (this.#subscription === undefined) {
      const subscription = await this.#options.subscribe();
      this.#subscription = subscription;
      if (this.stopped) return subscription.close(this.#options.clock.now() + LATE_CLOSE_MS);
      this.#become('up');
    }
    this.#starting?.resolve();
    this.#starting = undefined;
  }

  async #receive(): Promise<void> {
    const subscription = this.#subscription as Subscription;
    const { room: roomFor, arrive, atMost, clock } = this.#options;
    while (!this.stopped) {
      const seen = this.#changed.raised;
      const room = await roomFor(subscription);
      if (room <= 0) {
        await this.#changed.wait(seen);
        continue;
      }
      this.#receivingSince = clock.now();
      const deliveries = await subscription.receive(Math.min(room, atMost), this.#stop.signal);
      this.#failures = 0;
      if (this.#status === 'down') this.#become('up');
      if (deliveries.length > 0) await arrive(deliveries);
      // What fast handlers have done is on its way to the broker before more of them run.
      await nextTurn();
    }
  }

  #become(status: ConsumerStatus, error?: WaybillError): void {
    if (this.#status === 'closed') return;
    this.#error = error;
    if (this.#status === status && error === undefined) return;
    this.#status = status;
    this.#options.observe?.({
      name: 'consumer',
      queue: this.#options.name,
      status,
      ...(error === undefined ? {} : { error }),
    });
  }
}
