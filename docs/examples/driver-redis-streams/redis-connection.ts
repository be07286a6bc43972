import { WaybillError, type WaybillErrorCode } from '@waybill/core/driver';
import { Redis } from 'ioredis';
import { toWaybillError } from './redis-error.ts';

export type Arg = string | number | Uint8Array;

/** Nothing is repeated, queued or connected again behind our back, and a server that is silent for 5 s is gone. */
const PLAIN = { lazyConnect: true, retryStrategy: null, enableOfflineQueue: false, enableReadyCheck: false };
const SILENCE = { connectTimeout: 5_000, socketTimeout: 5_000 };

/** One connection, made by the call that needs it and forgotten when it closes. */
export class RedisConnection {
  readonly #url: string;
  #client: Promise<Redis> | undefined;
  #closed = false;

  constructor(url: string) {
    this.#url = url;
  }

  /** Runs a script, which Redis caches by its text. `lost`: what it means that no answer came. */
  async run<T>(attempted: string, script: string, args: readonly Arg[], lost?: WaybillErrorCode): Promise<T> {
    if (this.#closed) throw new WaybillError('CLOSED', 'The Redis driver is closed. Make a new one.');
    this.#client ??= this.#connect();
    const client = await this.#client;
    const values = args.map((arg) => (arg instanceof Uint8Array ? Buffer.from(arg) : arg));
    try {
      return (await client.callBuffer('EVAL', script, 0, ...values)) as T;
    } catch (cause) {
      throw toWaybillError(cause as Error, attempted, lost);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#client?.then((client) => client.disconnect()).catch(() => undefined);
  }

  async #connect(): Promise<Redis> {
    const client = new Redis(this.#url, { ...PLAIN, ...SILENCE });
    let said: Error | undefined;
    client.on('error', (error) => (said = error));
    client.once('close', () => (this.#client = undefined));
    try {
      await client.connect();
      return client;
    } catch (cause) {
      this.#client = undefined;
      throw toWaybillError(said ?? (cause as Error), `connect to Redis at ${new URL(this.#url).host}`);
    }
  }
}
