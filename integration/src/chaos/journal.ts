import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { now } from './ledger.ts';

/** A fault that was on, in the time of ledgers: µs. */
export interface Disruption {
  readonly fault: string;
  readonly from: number;
  until: number;
}

/** How a process ended. */
export interface End {
  /** As its ledger is named. */
  readonly process: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The conductor did it. */
  readonly ordered: boolean;
}

/** What one life of a process held: MiB after a collection of garbage, every 5 s, thinned out when it is long. */
export interface Memory {
  readonly process: string;
  readonly samples: readonly { readonly atMs: number; readonly mib: number }[];
}

/** What the conductor did and saw: a line each in a file, and what the checker needs of it. */
export class Journal {
  readonly #file: string;
  readonly disruptions: Disruption[] = [];
  readonly ends: End[] = [];
  readonly startedAt: number = now();

  constructor(folder: string) {
    this.#file = join(folder, 'journal.jsonl');
  }

  /** A fault begins. Call what it returns when it is over. */
  disrupt(fault: string): () => void {
    const disruption: Disruption = { fault, from: now(), until: Number.POSITIVE_INFINITY };
    this.disruptions.push(disruption);
    this.note({ fault, on: true });
    return () => {
      disruption.until = now();
      this.note({ fault, on: false });
    };
  }

  ended(end: End): void {
    this.ends.push(end);
    if (end.signal !== null && !end.ordered) {
      this.disruptions.push({ fault: `death of ${end.process}`, from: now(), until: now() });
    }
    this.note(end);
  }

  note(what: object): void {
    const line = { at: Number((now() / 1e6).toFixed(6)), ...what };
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
  }
}
