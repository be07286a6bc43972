import type { Contract, EventContract, InputOf } from './contract/contract.ts';
import type { CommandOf, QueueContract } from './contract/define-queue.ts';
import type { Depth, Lane, OutgoingMessage, Topology } from './driver/driver.ts';
import type { WaybillError } from './driver/errors.ts';
import type { BusOptions } from './runtime/bus-options.ts';
import type { ConsumeOptions } from './runtime/consume-options.ts';
import type { ConsumerHealth } from './runtime/consumer.ts';
import type { DeadLetter } from './runtime/dead-letters.ts';
import type { Handlers } from './runtime/handler-context.ts';
import type { PublishOptions, SendOptions } from './runtime/prepare.ts';
import type { RedriveOptions, RedriveResult } from './runtime/redrive.ts';
import { Runtime } from './runtime/runtime.ts';

export interface SignalOption {
  /** Ends the wait; the outcome may then be unknown. */
  readonly signal?: AbortSignal;
}

export interface CloseOptions {
  /** How long closing may take, in ms. @default 25_000 */
  readonly deadlineMs?: number;
}

export interface Consumer extends AsyncDisposable {
  health(): ConsumerHealth;
  /** Stops receiving, lets handlers finish, gives the rest back. Never rejects. */
  close(options?: CloseOptions): Promise<void>;
}

export interface BusHealth {
  /** `down`: the broker does not answer. `degraded`: something does not move. */
  readonly status: 'up' | 'degraded' | 'down';
  readonly driver: string;
  readonly consumers: readonly ConsumerHealth[];
  readonly publisher: { readonly pending: number; readonly error?: WaybillError };
}

/** Publishes, sends and consumes over one broker. Everything of it waits for a broker that is down, and can be told how long. */
export interface Bus extends AsyncDisposable {
  /**
   * Resolves once the broker stored it, also when no queue is bound. Rejects with INVALID_MESSAGE, TOO_LARGE, NOT_FOUND;
   * UNAVAILABLE: not stored; TIMEOUT: unknown.
   */
  publish<E extends EventContract>(event: E, data: InputOf<E>, options?: PublishOptions & SignalOption): Promise<void>;
  /** As {@link publish}, to the one queue that handles the command. */
  send<Q extends QueueContract, C extends CommandOf<Q>>(
    queue: Q,
    command: C,
    data: InputOf<C>,
    options?: SendOptions & SignalOption,
  ): Promise<void>;
  /** The wire form of an event, nothing sent: for an outbox. */
  prepare<E extends EventContract>(event: E, data: InputOf<E>, options?: PublishOptions): Promise<OutgoingMessage>;
  /** The wire form of a command for its queue, nothing sent. */
  prepareSend<Q extends QueueContract, C extends CommandOf<Q>>(
    queue: Q,
    command: C,
    data: InputOf<C>,
    options?: SendOptions,
  ): Promise<OutgoingMessage>;
  /** Sends what {@link prepare} made. Rejects with BatchError naming those that failed. */
  dispatch(batch: readonly OutgoingMessage[], options?: SignalOption): Promise<void>;
  /**
   * Handles what is in a queue. Resolves once messages sent from now on would arrive. Rejects with UNSUPPORTED,
   * NOT_FOUND, CONFLICT or PERMISSION_DENIED; waits for a broker that is down until `options.signal` aborts.
   */
  consume<C extends Contract>(
    queue: QueueContract<C>,
    handlers: Handlers<C>,
    options?: ConsumeOptions,
  ): Promise<Consumer>;
  /** Every dead letter of a queue, none taken. */
  deadLetters(queue: QueueContract, options?: SignalOption): AsyncIterable<DeadLetter>;
  /** Moves dead letters back to their queue, attempts from 1. Ends by itself; a kill loses nothing. */
  redrive(queue: QueueContract, options?: RedriveOptions): Promise<RedriveResult>;
  /** Deletes all messages of one lane. Rejects with UNSUPPORTED where the driver has no management rights. */
  purge(queue: QueueContract, lane: Lane, options?: SignalOption): Promise<void>;
  /** What a queue holds. Rejects with UNSUPPORTED where the driver has no management rights. */
  depth(queue: QueueContract, options?: SignalOption): Promise<Depth>;
  health(): BusHealth;
  /** What `uses` needs on the broker, by the broker's names. */
  topology(): Topology;
  /** Sees to the topology now, as `mode` or the bus's option says; resolves with a sentence for each thing made. */
  provision(mode?: 'create' | 'verify', options?: SignalOption): Promise<readonly string[]>;
  /** Closes consumers, then publishing, then the driver, within one deadline. Never rejects. */
  close(options?: CloseOptions): Promise<void>;
}

/**
 * Makes a bus. Does no I/O: the broker may be down. Throws INVALID_ARGUMENT listing every problem, and UNSUPPORTED for
 * what the driver cannot do.
 */
export function createBus(options: BusOptions): Bus {
  return new Runtime(options);
}
