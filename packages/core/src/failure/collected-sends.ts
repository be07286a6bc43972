import { allOf, type Awaitable, isPromise } from '../contract/validate.ts';
import type { OutgoingMessage } from '../driver/driver.ts';
import { uuidv5 } from '../envelope/ids.ts';
import type { Metadata } from '../envelope/envelope.ts';
import type { Preparer, PrepareRequest } from '../runtime/prepare.ts';

/**
 * What a handler sends and publishes: collected while it runs, dispatched after it returned and before its delivery is
 * settled. A failed attempt emits nothing; a repeated one makes the same ids, so that receivers can tell them.
 */
export class CollectedSends {
  readonly #preparer: Preparer;
  readonly #queue: string;
  readonly #incoming: Metadata;
  #prepared: Awaitable<OutgoingMessage>[] = [];
  #ordinal = 0;

  constructor(preparer: Preparer, queue: string, incoming: Metadata) {
    this.#preparer = preparer;
    this.#queue = queue;
    this.#incoming = incoming;
  }

  get empty(): boolean {
    return this.#prepared.length === 0;
  }

  /** Encodes now, so that what the handler changes later does not matter. Throws for what could never be sent. */
  add(request: Omit<PrepareRequest, 'origin'>): void {
    const id = uuidv5(this.#queue, this.#incoming.id, String(this.#ordinal));
    this.#ordinal += 1;
    const prepared = this.#preparer.prepare({ ...request, origin: { id, metadata: this.#incoming } });
    // Looked at by `take`, which a handler that fails first never gets to.
    if (isPromise(prepared)) prepared.then(undefined, () => undefined);
    this.#prepared.push(prepared);
  }

  /** Takes everything out. Rejects where data does not fit an asynchronous schema. */
  async take(): Promise<readonly OutgoingMessage[]> {
    const prepared = this.#prepared;
    this.#prepared = [];
    return allOf(prepared);
  }
}
