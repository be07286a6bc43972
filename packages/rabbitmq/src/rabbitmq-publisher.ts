import { BatchError, type BatchFailure, type OutgoingMessage, untilAborted, WaybillError } from '@waybill/core/driver';
import type { ConfirmChannel } from 'amqplib';
import { ChannelPool } from './channel-pool.ts';
import { closeQuietly, type RabbitmqConnection } from './rabbitmq-connection.ts';
import { toWaybillError } from './rabbitmq-error.ts';
import { RabbitmqFlight } from './rabbitmq-flight.ts';
import { TOP_EXCHANGE } from './rabbitmq-ladder.ts';
import type { Kind, RabbitmqLookup } from './rabbitmq-lookup.ts';
import { entityOf } from './to-rabbitmq-message.ts';

/** More than a process has open at once, but for bursts over many topics. */
const IDLE_CHANNELS = 8;

/** Batches as confirmed publishes, each group of messages on a channel of its own. */
export class RabbitmqPublisher {
  readonly #connection: RabbitmqConnection;
  readonly #lookup: RabbitmqLookup;
  readonly #maxMessageBytes: number;
  readonly #channels: ChannelPool<ConfirmChannel>;
  readonly #flights = new Map<ConfirmChannel, RabbitmqFlight>();

  constructor(connection: RabbitmqConnection, lookup: RabbitmqLookup, maxMessageBytes: number) {
    this.#connection = connection;
    this.#lookup = lookup;
    this.#maxMessageBytes = maxMessageBytes;
    this.#channels = new ChannelPool(() => this.#open(), IDLE_CHANNELS);
  }

  async send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    const groups = this.#group(batch);
    const failures: BatchFailure[] = [];
    let refused: readonly (WaybillError | undefined)[];
    try {
      if (this.#connection.blocked !== undefined) throw blocked(this.#connection.blocked);
      refused = await this.#lookUp(batch, groups, signal);
    } catch (cause) {
      throw new BatchError(batch.map(notSent(cause)), batch.length);
    }
    const flying = groups.map((group, index) =>
      this.#fly(batch, this.#sound(batch, group, refused[index], failures), signal),
    );
    for (const flight of flying) failures.push(...(await flight));
    if (failures.length === 0) return;
    this.#lookup.forget();
    failures.sort((left, right) => left.index - right.index);
    throw new BatchError(failures, batch.length);
  }

  /** Indexes of messages that may share a channel: what closes it (no exchange, no permission) then concerns all of them. */
  #group(batch: readonly OutgoingMessage[]): readonly number[][] {
    const groups = new Map<string, number[]>();
    for (const [index, { target, notBefore }] of batch.entries()) {
      const name = 'topic' in target ? target.topic : delayedTo(target, notBefore);
      const group = groups.get(name);
      if (group === undefined) groups.set(name, [index]);
      else group.push(index);
    }
    return [...groups.values()];
  }

  /**
   * By group, why it may not be sent. A missing exchange closes the channel, and what is delayed is only routed when it
   * is due: both are asked for first.
   */
  async #lookUp(
    batch: readonly OutgoingMessage[],
    groups: readonly number[][],
    signal: AbortSignal,
  ): Promise<readonly (WaybillError | undefined)[]> {
    const unknown = groups.map(([first]) =>
      needsOf(batch[first as number] as OutgoingMessage).filter((need) => !this.#lookup.isKnown(...need)),
    );
    if (unknown.every((needs) => needs.length === 0)) return [];
    return untilAborted(Promise.all(unknown.map((needs) => this.#refusalOf(needs))), signal, 'look up where to send');
  }

  async #refusalOf(needs: readonly Need[]): Promise<WaybillError | undefined> {
    for (const need of needs) {
      try {
        if (!(await this.#lookup.exists(...need))) return notFound(...need);
      } catch (cause) {
        if (WaybillError.is(cause) && cause.code === 'PERMISSION_DENIED') return cause;
        throw cause;
      }
    }
    return undefined;
  }

  /** The messages of a group that may be published; each of the others would close its channel. */
  #sound(
    batch: readonly OutgoingMessage[],
    group: readonly number[],
    refused: WaybillError | undefined,
    failures: BatchFailure[],
  ): readonly number[] {
    return group.filter((index) => {
      const message = batch[index] as OutgoingMessage;
      const error = refused ?? (message.body.byteLength > this.#maxMessageBytes ? this.#tooLarge(message) : undefined);
      if (error !== undefined) failures.push({ index, error });
      return error === undefined;
    });
  }

  async #fly(
    batch: readonly OutgoingMessage[],
    group: readonly number[],
    signal: AbortSignal,
  ): Promise<readonly BatchFailure[]> {
    if (group.length === 0) return [];
    let channel: ConfirmChannel;
    try {
      channel = this.#channels.takeIdle() ?? (await this.#take(signal));
    } catch (cause) {
      const fail = notSent(cause);
      return group.map((index) => fail(undefined, index));
    }
    const flight = new RabbitmqFlight(channel, batch, group);
    this.#flights.set(channel, flight);
    const failures = await flight.run(signal);
    this.#flights.delete(channel);
    if (flight.clean) this.#channels.give(channel);
    else closeQuietly(channel);
    return failures;
  }

  async #take(signal: AbortSignal): Promise<ConfirmChannel> {
    const taking = this.#channels.take();
    try {
      return await untilAborted(taking, signal, 'open a channel to RabbitMQ');
    } catch (cause) {
      // It may still come: then it is for the next one.
      taking.then((channel) => this.#channels.give(channel)).catch(() => undefined);
      throw cause;
    }
  }

  async #open(): Promise<ConfirmChannel> {
    const channel = await this.#connection.confirmChannel((cause) => this.#flights.get(channel)?.closed(cause));
    channel.on('return', (message) => this.#flights.get(channel)?.returned(message));
    channel.on('drain', () => this.#flights.get(channel)?.drained());
    return channel;
  }

  #tooLarge({ id, body }: OutgoingMessage): WaybillError {
    return new WaybillError(
      'TOO_LARGE',
      `Message ${id} has ${body.byteLength} bytes, more than the ${this.#maxMessageBytes} of maxMessageBytes.`,
    );
  }
}

/** No topic is named so. */
function delayedTo(target: { readonly queue: string; readonly lane: string }, notBefore: number | undefined): string {
  return notBefore === undefined ? '' : `>${entityOf(target)}`;
}

type Need = readonly [Kind, string];

function needsOf({ target, notBefore }: OutgoingMessage): readonly Need[] {
  if ('topic' in target) return [['exchange', target.topic]];
  if (notBefore === undefined) return [];
  return [
    ['queue', entityOf(target)],
    ['exchange', TOP_EXCHANGE],
  ];
}

/** Nothing was written: a deadline that passed means UNAVAILABLE here, not an unknown outcome. */
function notSent(cause: unknown): (message: unknown, index: number) => BatchFailure {
  const mapped = toWaybillError(cause, 'send to RabbitMQ');
  const error = mapped.code === 'TIMEOUT' ? new WaybillError('UNAVAILABLE', mapped.message, { cause }) : mapped;
  return (_, index) => ({ index, error });
}

function blocked(reason: string): WaybillError {
  return new WaybillError(
    'THROTTLED',
    `RabbitMQ takes no messages now: ${reason}. Free memory or disk on the broker, or let consumers catch up.`,
  );
}

function notFound(kind: Kind, name: string): WaybillError {
  const what = kind === 'queue' ? 'Queue' : 'Exchange';
  return new WaybillError(
    'NOT_FOUND',
    `${what} "${name}" does not exist on RabbitMQ. Create it, or apply the topology.`,
  );
}
