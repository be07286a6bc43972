/** Pushed deliveries wait here for the next `receive`: a push broker becomes a pull one, in batches and without a timer. */
export class Inbox<T> {
  readonly #items: T[] = [];
  #waiter:
    | { readonly max: number; readonly resolve: (items: readonly T[]) => void; readonly reject: (error: Error) => void }
    | undefined;
  #failure: Error | undefined;
  #scheduled = false;

  get size(): number {
    return this.#items.length;
  }

  /** Whether a `receive` waits. */
  get waiting(): boolean {
    return this.#waiter !== undefined;
  }

  push(item: T): void {
    this.#items.push(item);
    if (this.#waiter === undefined || this.#scheduled) return;
    // One turn later, so that everything a socket read brought goes out together.
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#hand();
    });
  }

  /** Resolves with 1 to `max` items, with none once `signal` aborts; rejects once with what {@link fail} was given. */
  receive(max: number, signal: AbortSignal): Promise<readonly T[]> {
    if (this.#waiter !== undefined) return Promise.reject(new Error('receive is already waiting'));
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      return Promise.reject(failure);
    }
    if (signal.aborted) return Promise.resolve([]);
    if (this.#items.length > 0) return Promise.resolve(this.#items.splice(0, max));
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiter = undefined;
        resolve([]);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const done = (): void => signal.removeEventListener('abort', onAbort);
      this.#waiter = {
        max,
        resolve: (items) => (done(), resolve(items)),
        reject: (error) => (done(), reject(error)),
      };
    });
  }

  /** Takes out everything that nobody received. */
  clear(): readonly T[] {
    return this.#items.splice(0);
  }

  /** Rejects the waiting `receive`, or the next one. */
  fail(error: Error): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter === undefined) this.#failure = error;
    else waiter.reject(error);
  }

  #hand(): void {
    const waiter = this.#waiter;
    if (waiter === undefined || this.#items.length === 0) return;
    this.#waiter = undefined;
    waiter.resolve(this.#items.splice(0, waiter.max));
  }
}
