import type { Crew } from './crew.ts';
import type { Counts } from './order.ts';
import { CONSUMERS } from './workload.ts';

const ON_TERMINAL_MS = 1_000;
const ELSEWHERE_MS = 10_000;

/** Shows how a run goes: a line that renews itself each second on a terminal, else a line each ten seconds. */
export class Live {
  readonly #startedAt: number = performance.now();
  readonly #crew: Crew;
  readonly #timer: NodeJS.Timeout;
  /** Faults that are on, or what the run is at. */
  readonly #now = new Set<string>();

  constructor(crew: Crew) {
    this.#crew = crew;
    this.#timer = setInterval(() => this.#show(), process.stdout.isTTY ? ON_TERMINAL_MS : ELSEWHERE_MS);
  }

  on(what: string): void {
    this.#now.add(what);
  }

  off(what: string): void {
    this.#now.delete(what);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#show();
    if (process.stdout.isTTY) process.stdout.write('\n');
  }

  #show(): void {
    const seconds = Math.round((performance.now() - this.#startedAt) / 1_000);
    const published = sum(this.#crew.publishers.map(({ counts }) => counts));
    const handled = CONSUMERS.map((name) => {
      const counts = sum(this.#crew.consumers[name].map((member) => member.counts));
      return `${name} ${counts.handled} (${counts.failed} failed, ${counts.dead} dead)`;
    });
    const line = `${String(seconds).padStart(5)} s  confirmed ${published.confirmed}, rejected ${published.rejected}; ${handled.join('; ')}; ${[...this.#now].join(', ') || 'no fault'}`;
    process.stdout.write(process.stdout.isTTY ? `\r\u001b[2K${line}` : `${line}\n`);
  }
}

function sum(all: readonly Counts[]): Pick<Counts, 'confirmed' | 'rejected' | 'handled' | 'failed' | 'dead'> {
  const add = (count: 'confirmed' | 'rejected' | 'handled' | 'failed' | 'dead'): number =>
    all.reduce((total, counts) => total + counts[count], 0);
  const [confirmed, rejected, handled] = [add('confirmed'), add('rejected'), add('handled')];
  return { confirmed, rejected, handled, failed: add('failed'), dead: add('dead') };
}
