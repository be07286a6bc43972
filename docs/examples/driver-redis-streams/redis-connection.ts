import { WaybillError, type WaybillErrorCode } from '@waybill/core/driver';
import { Redis } from 'ioredis';
import { toWaybillError } from './redis-error.ts';
import type { Settings } from './redis-options.ts';

export interface Call {
  readonly attempted: string;
  readonly keys?: readonly string[];
  readonly args?: readonly (string | number | Uint8Array)[];
  /** What it is when no answer came. @default 'UNAVAILABLE' */
  readonly lost?: WaybillErrorCode;
}

/** One connection, made by the call that needs it and forgotten when it closes. */
export class RedisConnection {
  readonly #settings: Settings;
  #client: Promise<Redis> | undefined;
  #closed = false;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Connects when there is no connection. Rejects with UNAVAILABLE, PERMISSION_DENIED or CLOSED. */
  client(): Promise<Redis> {
    if (this.#closed) return Promise.reject(new WaybillError('CLOSED', 'The Redis driver is closed. Make a new one.'));
    this.#client ??= this.#connect();
    return this.#client;
  }

  /** Runs a script: all of it or, when no connection can be made, nothing. Redis caches it by its text. */
  run(script: string, { keys = [], args = [], ...call }: Call): Promise<unknown> {
    const values = args.map((arg) =>
      arg instanceof Uint8Array ? Buffer.from(arg.buffer, arg.byteOffset, arg.length) : arg,
    );
    return this.use((client) => client.callBuffer('EVAL', script, keys.length, ...keys, ...values), call);
  }

  async use<T>(work: (client: Redis) => Promise<T>, { attempted, lost }: Call): Promise<T> {
    const client = await this.client();
    try {
      return await work(client);
    } catch (cause) {
      throw toWaybillError(cause, attempted, lost);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = await this.#client?.catch(() => undefined);
    client?.disconnect();
  }

  /** Nothing is repeated, queued or connected again behind our back. */
  async #connect(): Promise<Redis> {
    const { url, silentMs } = this.#settings;
    const client = new Redis(url, {
      lazyConnect: true,
      retryStrategy: null,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      enableReadyCheck: false,
      disableClientInfo: true,
      connectTimeout: silentMs,
      socketTimeout: silentMs,
    });
    let said: unknown;
    client.on('error', (error) => {
      said = error;
    });
    client.once('close', () => {
      this.#client = undefined;
    });
    try {
      await client.connect();
      return client;
    } catch (cause) {
      this.#client = undefined;
      throw toWaybillError(said ?? cause, `connect to Redis at ${new URL(url).host}`);
    }
  }
}
