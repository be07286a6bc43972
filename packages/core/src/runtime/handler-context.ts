import type { Contract, EventContract, InputOf, OutputOf } from '../contract/contract.ts';
import type { CommandOf, QueueContract } from '../contract/define-queue.ts';
import type { Delivery, OutgoingMessage } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';
import type { Message, Metadata } from '../envelope/envelope.ts';
import type { CollectedSends } from '../failure/collected-sends.ts';
import type { HandleScope, Slot } from './middleware.ts';
import type { PublishOptions, SendOptions } from './prepare.ts';
import type { Task } from './task.ts';

/** What a handler gets beside the data. */
export interface HandlerContext {
  readonly metadata: Metadata;
  /** From 1; one more for each failed attempt. */
  readonly attempt: number;
  /** Whether this stored copy was handed out before: a crash repeats an attempt. */
  readonly redelivered: boolean;
  /** Aborts when the time is up, the lease is lost or the consumer must stop. */
  readonly signal: AbortSignal;
  /** The broker's own delivery: ties the handler to one broker. */
  readonly delivery: Delivery;
  /** Publishes an event once this attempt succeeded. Throws INVALID_MESSAGE for data that does not fit. */
  publish<E extends EventContract>(event: E, data: InputOf<E>, options?: PublishOptions): void;
  /** Sends a command once this attempt succeeded. Throws INVALID_MESSAGE for data that does not fit. */
  send<Q extends QueueContract, C extends CommandOf<Q>>(
    queue: Q,
    command: C,
    data: InputOf<C>,
    options?: SendOptions,
  ): void;
  /** What a middleware put there: a transaction, a tenant. */
  get<T>(slot: Slot<T>): T | undefined;
}

/** A handler for every contract of a queue, by type. Returning accepts; throwing is a failed attempt. */
export type Handlers<C extends Contract> = {
  readonly [Type in C['type']]: (
    data: OutputOf<Extract<C, { readonly type: Type }>>,
    context: HandlerContext,
  ) => void | Promise<void>;
};

export type AnyHandler = (data: unknown, context: HandlerContext) => unknown;
/** Throws INVALID_ARGUMENT for what this bus cannot publish (no queue) or send. */
export type CheckSend = (contract: Contract, queue: QueueContract | undefined) => void;

/** What all attempts of a consumer share. */
export interface AttemptOptions {
  readonly queue: string;
  readonly collect: (incoming: Metadata) => CollectedSends;
  readonly checkSend: CheckSend;
}

/** One attempt, for its handler and for middlewares. */
export class Attempt implements HandlerContext, HandleScope {
  readonly #task: Task;
  readonly #shared: AttemptOptions;
  readonly message: Message;
  /** From 1. A task that is held for its next attempt counts on; this one does not change. */
  readonly attempt: number;
  #outgoing: CollectedSends | undefined;
  #ended = false;
  #slots: Map<unknown, unknown> | undefined;

  constructor(task: Task, message: Message, shared: AttemptOptions) {
    this.#task = task;
    this.#shared = shared;
    this.message = message;
    this.attempt = task.bookkeeping.attempt;
  }

  get queue(): string {
    return this.#shared.queue;
  }

  get metadata(): Metadata {
    return this.message.metadata;
  }

  get redelivered(): boolean {
    return this.#task.delivery.deliveries > 1;
  }

  get signal(): AbortSignal {
    return this.#task.signal;
  }

  get delivery(): Delivery {
    return this.#task.delivery;
  }

  // Handlers take these out of their context, so they carry it with them.
  get publish(): HandlerContext['publish'] {
    return (event, data, options) => {
      this.#checkRunning();
      this.#shared.checkSend(event, undefined);
      this.#collected().add({ contract: event, data, options });
    };
  }

  get send(): HandlerContext['send'] {
    return (queue, command, data, options) => {
      this.#checkRunning();
      this.#shared.checkSend(command, queue);
      this.#collected().add({ contract: command, queue: queue.name, data, options });
    };
  }

  get get(): HandlerContext['get'] {
    return <T>(slot: Slot<T>) => this.#slots?.get(slot) as T | undefined;
  }

  set<T>(slot: Slot<T>, value: T): void {
    this.#slots ??= new Map();
    this.#slots.set(slot, value);
  }

  /** Its handler returned: what is sent from now on would be lost. */
  end(): void {
    this.#ended = true;
  }

  #checkRunning(): void {
    if (!this.#ended) return;
    throw new WaybillError('CLOSED', 'The handler has ended: await what sends before it returns.');
  }

  /** What was collected; undefined when nothing was. */
  get outgoing(): CollectedSends | undefined {
    return this.#outgoing?.empty === false ? this.#outgoing : undefined;
  }

  async takeOutgoing(): Promise<readonly OutgoingMessage[]> {
    return (await this.#outgoing?.take()) ?? [];
  }

  #collected(): CollectedSends {
    this.#outgoing ??= this.#shared.collect(this.message.metadata);
    return this.#outgoing;
  }
}

/** The handlers of a queue, by type. Throws INVALID_ARGUMENT naming each that is missing and each that is unknown. */
export function checkHandlers<C extends Contract>(
  queue: QueueContract<C>,
  handlers: Handlers<C>,
): Readonly<Record<string, AnyHandler>> {
  const given = (handlers ?? {}) as unknown as Readonly<Record<string, AnyHandler>>;
  const wanted = queue.handles.map(({ type }) => type);
  const missing = wanted.filter((type) => typeof given[type] !== 'function');
  const unknown = Object.keys(given).filter((type) => !wanted.includes(type as C['type']));
  if (missing.length === 0 && unknown.length === 0) return given;
  const problems = [
    ...missing.map((type) => `"${type}" has no handler`),
    ...unknown.map((type) => `"${type}" is not handled by it`),
  ];
  throw new WaybillError('INVALID_ARGUMENT', `Handlers of queue "${queue.name}": ${problems.join(', ')}.`);
}
