import { type BatchFailure, type OutgoingMessage, WaybillError } from '@waybill/core/driver';
import type { ConfirmChannel, Message } from 'amqplib';
import { replyCode, toWaybillError } from './rabbitmq-error.ts';
import { entityOf, toRabbitmqMessage } from './to-rabbitmq-message.ts';

const UNWRITTEN = 0;
const OPEN = 1;
const RETURNED = 2;
const DONE = 3;

/** Some messages on one channel that nobody else uses meanwhile, so confirmations and returns can only mean these. */
export class RabbitmqFlight {
  readonly #channel: ConfirmChannel;
  readonly #batch: readonly OutgoingMessage[];
  readonly #group: readonly number[];
  readonly #states: Uint8Array;
  readonly #failures: BatchFailure[] = [];
  #open = 0;
  #written = false;
  #closedBy: Error | undefined;
  #over = false;
  #end: () => void = () => undefined;
  #resume: () => void = () => undefined;

  /** `group` holds the indexes of the messages, in order. */
  constructor(channel: ConfirmChannel, batch: readonly OutgoingMessage[], group: readonly number[]) {
    this.#channel = channel;
    this.#batch = batch;
    this.#group = group;
    this.#states = new Uint8Array(batch.length);
  }

  /** Whether the channel may be used again: it lives, and no confirmation is still to come. */
  get clean(): boolean {
    return this.#closedBy === undefined && this.#open === 0;
  }

  /** Resolves with what failed as soon as all are confirmed, the channel closed or `signal` aborted. */
  run(signal: AbortSignal): Promise<readonly BatchFailure[]> {
    return new Promise((resolve) => {
      const onAbort = (): void => this.#end();
      this.#end = () => {
        if (this.#over) return;
        this.#over = true;
        signal.removeEventListener('abort', onAbort);
        this.#resume();
        resolve(this.#outcome());
      };
      if (signal.aborted) return this.#end();
      signal.addEventListener('abort', onAbort, { once: true });
      void this.#write();
    });
  }

  closed(cause: Error): void {
    this.#closedBy = cause;
    this.#end();
  }

  /** The broker returns what it cannot route before it confirms it. */
  returned({ fields, properties }: Message): void {
    const index = this.#group.find((each) => {
      const { id, target } = this.#batch[each] as OutgoingMessage;
      if (this.#states[each] !== OPEN || id !== properties.messageId || 'topic' in target) return false;
      return fields.exchange === ''
        ? fields.routingKey === entityOf(target)
        : fields.routingKey.endsWith(`.${entityOf(target)}`);
    });
    if (index !== undefined) this.#states[index] = RETURNED;
  }

  drained(): void {
    this.#resume();
  }

  async #write(): Promise<void> {
    const now = Date.now();
    for (const index of this.#group) {
      // `false` asks to wait: amqplib would buffer without bound.
      if (!this.#publish(index, now)) {
        await new Promise<void>((resolve) => {
          this.#resume = resolve;
        });
      }
      if (this.#over) return;
    }
    this.#written = true;
    if (this.#open === 0) this.#end();
  }

  #publish(index: number, now: number): boolean {
    const message = this.#batch[index] as OutgoingMessage;
    try {
      const { exchange, routingKey, content, properties } = toRabbitmqMessage(message, now);
      const onConfirm = (error: unknown): void => this.#confirmed(index, error as Error | null);
      const more = this.#channel.publish(exchange, routingKey, content, properties, onConfirm);
      this.#states[index] = OPEN;
      this.#open += 1;
      return more;
    } catch (cause) {
      // Headers over 64 KiB, names over 255 bytes, a closed channel: amqplib throws before it writes a byte.
      this.#fail(index, toWaybillError(cause, `publish message ${message.id}`));
      return true;
    }
  }

  #confirmed(index: number, error: Error | null): void {
    // The channel closed: `closed` follows and knows why.
    if (this.#over || (error !== null && error.message !== 'message nacked')) return;
    this.#open -= 1;
    const message = this.#batch[index] as OutgoingMessage;
    if (error !== null) this.#fail(index, toWaybillError(error, `store message ${message.id}`));
    else if (this.#states[index] === RETURNED) this.#fail(index, unroutable(message));
    else this.#states[index] = DONE;
    if (this.#open === 0 && this.#written) this.#end();
  }

  #fail(index: number, error: WaybillError): void {
    this.#states[index] = DONE;
    this.#failures.push({ index, error });
  }

  #outcome(): readonly BatchFailure[] {
    for (const index of this.#group) {
      const message = this.#batch[index] as OutgoingMessage;
      const state = this.#states[index];
      if (state === UNWRITTEN) this.#fail(index, notWritten(message, this.#closedBy));
      else if (state === RETURNED) this.#fail(index, unroutable(message));
      else if (state === OPEN) this.#fail(index, this.#unconfirmed(message));
    }
    return this.#failures;
  }

  #unconfirmed(message: OutgoingMessage): WaybillError {
    const cause = this.#closedBy;
    if (isRefusal(message, cause)) return toWaybillError(cause, `publish message ${message.id}`);
    const why = cause === undefined ? 'in time' : `before the channel closed (${cause.message})`;
    const text = `RabbitMQ did not confirm message ${message.id} ${why}. It may be stored or not.`;
    return new WaybillError('TIMEOUT', text, { cause });
  }
}

function unroutable({ target }: OutgoingMessage): WaybillError {
  const queue = 'topic' in target ? target.topic : entityOf(target);
  const text = `Queue "${queue}" does not exist on RabbitMQ. Create it, or apply the topology.`;
  return new WaybillError('NOT_FOUND', text);
}

function notWritten({ id }: OutgoingMessage, cause: Error | undefined): WaybillError {
  const why = cause?.message ?? 'the time was up';
  return new WaybillError('UNAVAILABLE', `Message ${id} was not sent to RabbitMQ: ${why}.`, { cause });
}

/** Whether what closed the channel certainly means this message: nothing of a group without permission is stored. */
function isRefusal({ body }: OutgoingMessage, cause: Error | undefined): boolean {
  const code = replyCode(cause);
  const largest = /larger than configured max size (\d+)/.exec(cause?.message ?? '')?.[1];
  return code === 403 || (code === 406 && largest !== undefined && body.byteLength > Number(largest));
}
