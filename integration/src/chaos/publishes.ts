import { ledgerFile, processesIn, readLedger, type Written } from './ledger.ts';
import type { Problems } from './problems.ts';
import { PUBLISHERS, type Workload } from './workload.ts';

/** What a publish ended with. `unknown`: its process died before it was told. `uncertain`: TIMEOUT, which has no place in the order. */
const OUTCOMES = ['none', 'unknown', 'confirmed', 'uncertain', 'refused'] as const;
type PublishOutcome = (typeof OUTCOMES)[number];

/** Codes that say that nothing is stored. */
const NOT_STORED: ReadonlySet<string> = new Set(['UNAVAILABLE', 'THROTTLED']);

/** What became of every publish: a few bytes for each message. */
export class Publishes {
  readonly #workload: Workload;
  readonly #outcomes: Uint8Array;
  /** ms since the run began. */
  readonly #intentAt: Uint32Array;
  readonly counts: Record<PublishOutcome, number> = { none: 0, unknown: 0, confirmed: 0, uncertain: 0, refused: 0 };

  constructor(folder: string, workload: Workload, { startedAt, problems }: { startedAt: number; problems: Problems }) {
    this.#workload = workload;
    this.#outcomes = new Uint8Array(workload.messages);
    this.#intentAt = new Uint32Array(workload.messages);
    for (let publisher = 0; publisher < PUBLISHERS; publisher += 1) {
      let turn = 0;
      for (const entry of entriesOf(folder, publisher)) {
        if (entry.kind === 'intent') {
          this.#begun(entry, startedAt);
          const isIts = entry.index === workload.index(publisher, turn);
          if (!isIts) problems.add({ check: 'published', what: `turn ${turn} is another's`, index: entry.index });
          turn += 1;
        } else this.#ended(entry);
      }
    }
    for (const outcome of this.#outcomes) this.counts[OUTCOMES[outcome] ?? 'none'] += 1;
    if (this.counts.none > 0) {
      problems.add({ check: 'published', what: `${this.counts.none} messages were never published` });
    }
  }

  of(index: number): PublishOutcome {
    return OUTCOMES[this.#outcomes[index] ?? 0] ?? 'none';
  }

  /** µs since the run began. */
  intentAt(index: number): number {
    return (this.#intentAt[index] ?? 0) * 1_000;
  }

  /** The nearest one in front of it of its key that was confirmed; below 0 there is none. */
  confirmedBefore(index: number): number {
    let before = this.#workload.before(index);
    while (before >= 0 && this.of(before) !== 'confirmed') before = this.#workload.before(before);
    return before;
  }

  #begun({ index, at }: Written, startedAt: number): void {
    this.#outcomes[index] = OUTCOMES.indexOf('unknown');
    this.#intentAt[index] = Math.max(0, Math.floor((at - startedAt) / 1_000));
  }

  #ended({ index, kind, code }: Written): void {
    const rejected = NOT_STORED.has(code) ? 'refused' : 'uncertain';
    this.#outcomes[index] = OUTCOMES.indexOf(kind === 'confirmed' ? 'confirmed' : rejected);
  }
}

/** All that a publisher wrote down, in all its lives. */
function* entriesOf(folder: string, publisher: number): Generator<Written> {
  for (const process of processesIn(folder, `publisher-${publisher + 1}.`)) {
    yield* readLedger(ledgerFile(folder, process));
  }
}
