/** Wakes everyone who waits for the next change. */
export class Signal {
  readonly #waiting: (() => void)[] = [];
  #raised = 0;

  /** Changes so far: take it before looking, and wait for what is newer. */
  get raised(): number {
    return this.#raised;
  }

  /** Resolves at the next change after the first `seen`. */
  wait(seen: number = this.#raised): Promise<void> {
    return seen < this.#raised ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  raise(): void {
    this.#raised += 1;
    if (this.#waiting.length === 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** What `work` resolves with, unless `signal` aborts first; `work` then goes on unwatched. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
