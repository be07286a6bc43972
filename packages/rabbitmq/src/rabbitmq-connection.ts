import type { EventEmitter } from 'node:events';
import { byDeadline, WaybillError } from '@waybill/core/driver';
import { type Channel, type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { gatherWrites, SOCKET_BUFFER_BYTES } from './gather-writes.ts';
import { toWaybillError } from './rabbitmq-error.ts';
import type { Settings } from './rabbitmq-options.ts';

interface Live {
  readonly model: ChannelModel;
  readonly socket: AbortController;
}

const noop = (): void => undefined;

/**
 * One connection that is made again by the next call after it was lost. Not amqplib's `recovery`: a socket that dies
 * while its `setup` runs leaves it dead for ever, and its `close` hangs.
 */
export class RabbitmqConnection {
  readonly #settings: Settings;
  readonly #purpose: string;
  #live: Live | undefined;
  #opening: Promise<ChannelModel> | undefined;
  #socket: AbortController | undefined;
  #failures = 0;
  #accepted = false;
  #cause: Error | undefined;
  #blocked: string | undefined;
  #closed = false;

  constructor(settings: Settings, purpose: 'publish' | 'consume') {
    this.#settings = settings;
    this.#purpose = purpose;
  }

  /** Why the broker takes no messages now: it is short of memory or disk. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** amqplib's connection, while there is one. */
  get current(): ChannelModel | undefined {
    return this.#live?.model;
  }

  /** amqplib's connection. Connects when there is none; rejects with UNAVAILABLE, PERMISSION_DENIED, UNSUPPORTED, … */
  async model(): Promise<ChannelModel> {
    if (this.#closed) throw new WaybillError('CLOSED', 'The RabbitMQ driver is closed.');
    if (this.#live !== undefined) return this.#live.model;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** `onClose` is called once, with what closed it; listeners are there before anything can happen to it. */
  async channel(onClose: (cause: Error) => void = noop): Promise<Channel> {
    return this.#channel((model) => model.createChannel(), onClose);
  }

  async confirmChannel(onClose: (cause: Error) => void = noop): Promise<ConfirmChannel> {
    return this.#channel((model) => model.createConfirmChannel(), onClose);
  }

  /** amqplib's own close waits for ever when the peer is gone, and a connection attempt cannot be called off. */
  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    const { model, socket } = this.#live ?? {};
    if (model !== undefined) await byDeadline(deadlineMs, model.close().catch(noop));
    (socket ?? this.#socket)?.abort();
  }

  async #open(): Promise<ChannelModel> {
    const { servers, tls, connectTimeoutMs } = this.#settings;
    const server = servers[this.#failures % servers.length] as Settings['servers'][number];
    const socket = new AbortController();
    this.#socket = socket;
    const options = {
      ...tls,
      // Without it every second write of a message over 2 KiB waits 40 ms for the broker's acknowledgement (Nagle).
      noDelay: true,
      keepAlive: true,
      writableHighWaterMark: SOCKET_BUFFER_BYTES,
      timeout: connectTimeoutMs,
      // Node's sockets take one: the only way to be rid of a socket whatever state amqplib has it in.
      signal: socket.signal,
      clientProperties: { connection_name: `waybill ${this.#purpose}` },
    };
    try {
      const model = await connect({ ...server.connect }, options);
      this.#watch({ model, socket });
      gatherWrites(model.connection);
      refuseOld(model, server.name);
      if (this.#closed) throw new WaybillError('CLOSED', 'The RabbitMQ driver was closed while it connected.');
      this.#accepted = true;
      return model;
    } catch (cause) {
      this.#failures += 1;
      this.#live = undefined;
      socket.abort();
      const error = toWaybillError(cause, `connect to RabbitMQ at ${server.name}`);
      // What it accepted before is not missing: a virtual host that starts, or is full.
      throw this.#accepted && error.code === 'NOT_FOUND'
        ? new WaybillError('UNAVAILABLE', error.message, { cause })
        : error;
    }
  }

  #watch(live: Live): void {
    const { model, socket } = live;
    const gone = (cause?: Error): void => {
      if (cause !== undefined) this.#cause = cause;
      if (this.#live !== live) return;
      this.#live = undefined;
      this.#blocked = undefined;
    };
    // An 'error' without a listener leaves the connection half dead: its heartbeats go on, its 'close' never comes.
    model.on('error', gone);
    model.on('close', (cause) => {
      gone(cause);
      // amqplib only ends its side: a peer that is gone would keep the socket, and the process, for minutes.
      socket.abort();
    });
    model.on('blocked', (reason) => {
      this.#blocked = reason;
    });
    model.on('unblocked', () => {
      this.#blocked = undefined;
    });
    // amqplib looks for this listener on its inner connection, and without it an exception in any other tears that down.
    (model.connection as unknown as EventEmitter).on('handler-error', (cause: Error) => {
      gone(cause);
      socket.abort();
    });
    this.#live = live;
  }

  async #channel<C extends Channel>(
    open: (model: ChannelModel) => Promise<C>,
    onClose: (cause: Error) => void,
  ): Promise<C> {
    const model = await this.model();
    let reason: Error | undefined;
    try {
      const channel = await open(model);
      const failed = (cause: Error): void => {
        reason = cause;
      };
      channel.on('error', failed);
      channel.on('handler-error', (cause) => {
        failed(cause);
        closeQuietly(channel);
      });
      channel.once('close', () => onClose(reason ?? this.#cause ?? new Error('channel closed')));
      return channel;
    } catch (cause) {
      throw toWaybillError(cause, 'open a channel to RabbitMQ');
    }
  }
}

/** Closes a channel whose end nobody waits for; it may be closed already. */
export function closeQuietly(channel: Channel): void {
  try {
    channel.close().catch(noop);
  } catch {
    // It was closed: amqplib throws at once.
  }
}

/** Before 4.0 a delivery limit of -1 drops a message at its first redelivery, and unknown settings are ignored in silence. */
function refuseOld(model: ChannelModel, server: string): void {
  const { product, version } = model.connection.serverProperties;
  if (product === 'RabbitMQ' && Number(version.split('.')[0]) >= 4) return;
  throw new WaybillError(
    'UNSUPPORTED',
    `${product} ${version} at ${server} cannot be used: Waybill needs RabbitMQ 4.0 or later.`,
  );
}
