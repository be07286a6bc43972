import { ServiceBusClient, type ServiceBusClientOptions } from '@azure/service-bus';
import { byDeadline, systemClock, WaybillError } from '@waybill/core/driver';
import {
  type AmqpConnection,
  connectionOf,
  dropRecovery,
  endConnection,
  failRequests,
  rememberClaims,
} from './client-parts.ts';
import { toWaybillError } from './service-bus-error.ts';
import type { Settings } from './service-bus-options.ts';

/** Tokens hold for an hour, and are renewed after 45 min. */
const CLAIM_MS = 60_000;
/** A client that nobody uses any more has this long to end by itself. */
const END_MS = 1_000;

/** One AMQP connection, made when a call needs it and forgotten when it breaks: then the next call makes another. */
export class ServiceBusConnection {
  readonly settings: Settings;
  #current: ClientLife | undefined;
  #closed = false;

  constructor(settings: Settings) {
    this.settings = settings;
  }

  /** Throws CLOSED once the driver is. It connects with the first link. */
  life(): ClientLife {
    if (this.#closed) throw new WaybillError('CLOSED', 'The Service Bus driver is closed.');
    this.#current ??= new ClientLife(this.settings, (life) => {
      if (this.#current === life) this.#current = undefined;
    });
    return this.#current;
  }

  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    const life = this.#current;
    this.#current = undefined;
    await life?.end(deadlineMs);
  }
}

type Lost = (cause: WaybillError) => void;

/** A client of the SDK for as long as its connection lives. Its own ways to come back are not used. */
export class ClientLife {
  readonly client: ServiceBusClient;
  readonly timeoutMs: number;
  readonly #amqp: AmqpConnection;
  readonly #listeners = new Set<Lost>();
  readonly #onEnd: (life: ClientLife) => void;
  #lost: WaybillError | undefined;

  constructor(settings: Settings, onEnd: (life: ClientLife) => void) {
    this.#onEnd = onEnd;
    this.client = clientFor(settings);
    this.timeoutMs = settings.timeoutMs;
    dropRecovery(this.client);
    rememberClaims(this.client, CLAIM_MS);
    this.#amqp = connectionOf(this.client);
    // Without it a send takes 40 ms: the client waits for an acknowledgement of TCP before it writes on.
    this.#amqp.options.tcp_no_delay = true;
    this.#amqp.once('disconnected', ({ error }) =>
      this.lose(toWaybillError(error ?? new Error('the connection closed'), 'stay connected to Service Bus')),
    );
  }

  get lost(): WaybillError | undefined {
    return this.#lost;
  }

  /** What the socket has read so far: the same later means that nothing came. */
  get bytesRead(): number {
    return this.#amqp.socket?.bytesRead ?? 0;
  }

  /** Hears of the end once; returns what stops that. */
  onLost(listener: Lost): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Settles as `work` does, or rejects with UNAVAILABLE as soon as the connection is lost. */
  whileAlive<T>(work: Promise<T>): Promise<T> {
    if (this.#lost !== undefined) {
      work.catch(() => undefined);
      return Promise.reject(this.#lost);
    }
    return new Promise((resolve, reject) => {
      const stop = this.onLost(reject);
      work.then(resolve, reject).finally(stop);
    });
  }

  /** As {@link whileAlive}; a silence of `ms` ends the connection. */
  async answered<T>(work: Promise<T>, ms: number, attempted: string): Promise<T> {
    const before = this.bytesRead;
    const cancel = systemClock.after(ms, () => {
      if (this.bytesRead === before) this.lose(silent(attempted, ms));
    });
    try {
      return await this.whileAlive(work);
    } catch (cause) {
      throw toWaybillError(cause, attempted);
    } finally {
      cancel();
    }
  }

  /** The connection is given up, whether it knows or not. */
  lose(cause: WaybillError): void {
    if (this.#lost !== undefined) return;
    const error =
      cause.code === 'UNAVAILABLE' ? cause : new WaybillError('UNAVAILABLE', cause.message, { cause: cause.cause });
    this.#lost = error;
    this.#onEnd(this);
    for (const listener of this.#listeners) listener(error);
    this.#listeners.clear();
    failRequests(this.client, error);
    // With an error, or the client does not hear of it.
    this.#amqp.socket?.destroy(new Error('the connection was given up'));
    setImmediate(() => void this.end(systemClock.now() + END_MS));
  }

  async end(deadlineMs: number): Promise<void> {
    this.#lost ??= new WaybillError('CLOSED', 'The connection to Service Bus is closed.');
    failRequests(this.client, this.#lost);
    await byDeadline(deadlineMs, this.client.close());
    endConnection(this.#amqp);
  }
}

function clientFor({ access, timeoutMs, webSockets }: Settings): ServiceBusClient {
  const options: ServiceBusClientOptions = {
    // Trying again is the core's.
    retryOptions: { maxRetries: 0, retryDelayInMs: 0, maxRetryDelayInMs: 0, timeoutInMs: timeoutMs },
    ...(webSockets === undefined ? {} : { webSocketOptions: webSockets }),
  };
  return 'connectionString' in access
    ? new ServiceBusClient(access.connectionString(), options)
    : new ServiceBusClient(access.namespace, access.credential, options);
}

function silent(attempted: string, ms: number): WaybillError {
  return new WaybillError(
    'UNAVAILABLE',
    `Could not ${attempted}: Service Bus said nothing for ${ms} ms. The connection is given up; the next call makes another.`,
  );
}
