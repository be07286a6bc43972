import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Journal, Memory } from './journal.ts';
import { type Answer, type Counts, NOTHING, type Order, type Start } from './order.ts';

const MUTANTS = new URL('../mutants/register.js', import.meta.url).href;
const MOST_SAMPLES = 256;
const RESTART_AFTER_MS = 500;
/** A bus closes within 25 s, of a process that is frozen for 15 s. */
const CLOSES_WITHIN_MS = 45_000;

interface MemberOptions {
  readonly journal: Journal;
  /** What a life of it begins with; `process` names the life. */
  readonly startOf: (process: string) => Start;
  /** Nothing is started again before this resolves. */
  readonly restartable: () => Promise<void>;
  /** Name of a deliberate defect to run with. */
  readonly mutant?: string | undefined;
}

/** A process that is started again whenever it dies before its work is done. */
export class Member {
  readonly name: string;
  readonly #options: MemberOptions;
  readonly memories: Memory[] = [];
  /** Of earlier lives. */
  #before: Counts = NOTHING;
  #current: Counts = NOTHING;
  #lives = 0;
  #child: ChildProcess | undefined;
  #ordered = false;
  /** Whether an end by itself is the end of its work. */
  #isOver = false;
  #ended: Promise<void> = Promise.resolve();
  readonly #whenOver: Promise<void>;
  #over: () => void = () => undefined;

  constructor(name: string, options: MemberOptions) {
    this.name = name;
    this.#options = options;
    this.#whenOver = new Promise((resolve) => {
      this.#over = resolve;
    });
  }

  get counts(): Counts {
    const add = (count: 'confirmed' | 'rejected' | 'handled' | 'failed' | 'dead'): number =>
      this.#before[count] + this.#current[count];
    const [confirmed, rejected, handled] = [add('confirmed'), add('rejected'), add('handled')];
    return { confirmed, rejected, handled, failed: add('failed'), dead: add('dead'), held: this.#current.held };
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Starts the next life. Resolves once it works; a life that ends before resolves too. */
  start(): Promise<void> {
    if (this.#child !== undefined) return Promise.resolve();
    this.#lives += 1;
    const process = `${this.name}.${this.#lives}`;
    const { mutant, startOf, journal } = this.#options;
    const child = fork(fileURLToPath(new URL('./process-main.js', import.meta.url)), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      execArgv: ['--expose-gc', ...(mutant === undefined ? [] : ['--import', MUTANTS])],
      env: { ...globalThis.process.env, ...(mutant === undefined ? {} : { WAYBILL_MUTANT: mutant }) },
    });
    this.#child = child;
    this.#ordered = false;
    const samples: { atMs: number; mib: number }[] = [];
    this.memories.push({ process, samples });
    journal.note({ process, pid: child.pid });
    return new Promise((resolve) => {
      child.on('message', (answer: Answer) => {
        if (answer.is === 'ready') return resolve();
        if (answer.is === 'live') return sample(samples, answer.mib);
        this.#current = answer;
      });
      this.#ended = new Promise((ended) => {
        child.once('exit', (code, signal) => {
          this.#onExit(process, code, signal);
          resolve();
          ended();
        });
      });
      child.send(startOf(process) satisfies Order);
    });
  }

  #onExit(process: string, code: number | null, signal: NodeJS.Signals | null): void {
    this.#options.journal.ended({ process, code, signal, ordered: this.#ordered });
    this.#before = { ...this.counts, held: 0 };
    this.#current = NOTHING;
    this.#child = undefined;
    // A publisher that is done says so by its code.
    if (code === 0 && !this.#ordered) this.#finish();
    else if (!this.#ordered || signal === 'SIGKILL') void this.#startAgain();
  }

  async #startAgain(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, RESTART_AFTER_MS));
    await this.#options.restartable();
    if (!this.#isOver) await this.start();
  }

  #finish(): void {
    this.#isOver = true;
    this.#over();
  }

  /** SIGKILL. It is started again. */
  kill(): void {
    this.#ordered = true;
    this.#child?.kill('SIGKILL');
  }

  freeze(on: boolean): void {
    this.#child?.kill(on ? 'SIGSTOP' : 'SIGCONT');
  }

  /** Closes this life in order. Resolves once it has ended: one that does not close is killed, and that is no order. */
  async close(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#ordered = true;
    child.send({ do: 'close' } satisfies Order);
    const timer = setTimeout(() => {
      this.#ordered = false;
      child.kill('SIGKILL');
    }, CLOSES_WITHIN_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Closes it for good. */
  async end(): Promise<void> {
    this.#finish();
    await this.close();
  }

  /** Ends it at once and for good. */
  async abandon(): Promise<void> {
    this.#finish();
    this.kill();
    await this.#ended;
  }

  /** Resolves once its work is done, over all its lives. */
  done(): Promise<void> {
    return this.#whenOver;
  }
}

/** Every second one goes when there are many: what is kept is spread over the whole life. */
function sample(samples: { atMs: number; mib: number }[], mib: number): void {
  samples.push({ atMs: Math.round(performance.now()), mib });
  if (samples.length > MOST_SAMPLES) samples.splice(0, samples.length, ...samples.filter((_, nth) => nth % 2 === 0));
}
