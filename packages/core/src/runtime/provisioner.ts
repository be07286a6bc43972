import type { Driver, Topology } from '../driver/driver.ts';
import { WaybillError } from '../driver/errors.ts';

/** Sees to the topology once, at first use. A failure is not remembered: the next use tries again. */
export class Provisioner {
  readonly #driver: Driver;
  readonly #topology: Topology;
  readonly #mode: 'create' | 'verify';
  readonly #beforeRun: () => void;
  #done = false;
  #running: Promise<readonly string[]> | undefined;

  /** `beforeRun` is called before the driver is asked for anything. */
  constructor(driver: Driver, topology: Topology, mode: 'create' | 'verify', beforeRun: () => void) {
    this.#driver = driver;
    this.#topology = topology;
    this.#mode = mode;
    this.#beforeRun = beforeRun;
  }

  /** This one, or another that does the same otherwise. */
  inMode(mode: 'create' | 'verify'): Provisioner {
    return mode === this.#mode ? this : new Provisioner(this.#driver, this.#topology, mode, this.#beforeRun);
  }

  get done(): boolean {
    return this.#done;
  }

  /** Forgets that it was done: something that was there is gone. */
  again(): void {
    this.#done = false;
  }

  /** Resolves with a sentence for each thing made. Rejects with NOT_FOUND listing what is missing, or CONFLICT. */
  ensure(signal: AbortSignal): Promise<readonly string[]> {
    if (this.#done) return Promise.resolve([]);
    this.#running ??= this.#run(signal).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(signal: AbortSignal): Promise<readonly string[]> {
    this.#beforeRun();
    const made =
      this.#mode === 'create' && this.#driver.admin !== undefined
        ? await this.#driver.admin.apply(this.#topology, signal)
        : await this.#verify(signal);
    this.#done = true;
    return made;
  }

  async #verify(signal: AbortSignal): Promise<readonly string[]> {
    const missing = await this.#driver.verify(this.#topology, signal);
    if (missing.length === 0) return [];
    throw new WaybillError(
      'NOT_FOUND',
      `The topology on ${this.#driver.name} is not what the contracts need: ${missing.join(' ')} Create it with \`await bus.provision('create')\` from a process that may, such as a deploy step.`,
    );
  }
}
