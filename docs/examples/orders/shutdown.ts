/** What has to be closed, last opened first, whichever way the demo ends. */
export class Shutdown {
  readonly #steps: (() => Promise<unknown>)[] = [];
  #running: Promise<void> | undefined;

  add(step: () => Promise<unknown>): void {
    this.#steps.push(step);
  }

  get begun(): boolean {
    return this.#running !== undefined;
  }

  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step().catch((error: unknown) => process.stderr.write(`${(error as Error).message}\n`));
    }
  }
}

/** Ctrl-C closes everything first; a second one ends at once. */
export function onInterrupt(shutdown: Shutdown): void {
  const interrupted = (code: number): void => {
    if (shutdown.begun) process.exit(code);
    process.stderr.write('\nInterrupted: closes what is open.\n');
    void shutdown.run().finally(() => process.exit(code));
  };
  // Not `once`: libraries that watch for signals end the process when nobody else listens any more.
  process.on('SIGINT', () => interrupted(130));
  process.on('SIGTERM', () => interrupted(143));
  // Who reads the output may go away (`| head`); what is open is closed all the same.
  process.stdout.on('error', () => undefined);
}
