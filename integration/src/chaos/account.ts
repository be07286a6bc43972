import { isExplained } from './bounds.ts';
import type { Disruption } from './journal.ts';
import { ledgerFile, mergeLedgers, processesIn, readLedger, type Written } from './ledger.ts';
import type { Problems } from './problems.ts';
import type { Publishes } from './publishes.ts';
import { ATTEMPTS, type ConsumerName, type Workload } from './workload.ts';

export interface AccountOptions {
  readonly folder: string;
  readonly workload: Workload;
  readonly consumer: ConsumerName;
  readonly publishes: Publishes;
  readonly disruptions: readonly Disruption[];
  /** When the run began, in the time of ledgers. */
  readonly startedAt: number;
  /** Letters that were stored before were lost with their lane, which was made anew: so a harness refuses its writes. */
  readonly emptiedAt: number;
  readonly problems: Problems;
}

const SEEN = 1;
const DEAD = 2;
const DEAD_BEFORE = 4;
const LETTER = 8;

/** What one consumer did with every message, in the order of time over all its processes. A few bytes for each message. */
export class Account {
  readonly #options: AccountOptions;
  readonly #flags: Uint8Array;
  readonly #handled: Uint8Array;
  /** The highest attempt that failed. */
  readonly #failed: Uint8Array;
  /** A bit for each attempt that came to its end. */
  readonly #ended: Uint8Array;
  /** Started behind what may be a letter that no process was told of, which shows at the end. */
  readonly #unheard: { readonly index: number; readonly before: number }[] = [];
  readonly counts = { started: 0, handled: 0, failed: 0, aborted: 0, dead: 0, distinct: 0, letters: 0, repeats: 0 };

  constructor(options: AccountOptions) {
    const { messages } = options.workload;
    this.#options = options;
    this.#flags = new Uint8Array(messages);
    this.#handled = new Uint8Array(messages);
    this.#failed = new Uint8Array(messages);
    this.#ended = new Uint8Array(messages);
    this.#readLetters();
    const { folder, consumer } = options;
    for (const [, entry] of mergeLedgers(folder, processesIn(folder, `${consumer}-`))) this.#take(entry);
    for (const { index, before } of this.#unheard) if (this.#has(before, DEAD)) this.#outOfOrder(index, before);
    for (let index = 0; index < messages; index += 1) this.#close(index);
  }

  #readLetters(): void {
    const { folder, consumer, workload, problems } = this.#options;
    for (const process of processesIn(folder, `letters-${consumer}`)) {
      for (const { index, code, attempt } of readLedger(ledgerFile(folder, process))) {
        this.counts.letters += 1;
        this.#flag(index, LETTER);
        const right = workload.isPoison(consumer, index)
          ? code === 'handler-failed' && attempt === ATTEMPTS
          : workload.isKiller(consumer, index) && code === 'crash-loop';
        const what = `is a dead letter of ${consumer} with reason ${code} after ${attempt} attempts`;
        if (!right) problems.add({ check: 'reasons', what, index });
      }
    }
  }

  #take(entry: Written): void {
    const { index, attempt, kind } = entry;
    if (kind === 'misused') this.#misused(entry);
    if (index >= this.#flags.length) return;
    if (kind === 'started') return this.#started(entry);
    if (kind === 'aborted') this.counts.aborted += 1;
    if (kind === 'dead') {
      this.counts.dead += 1;
      this.#flag(index, entry.at <= this.#options.emptiedAt ? DEAD | DEAD_BEFORE : DEAD);
    }
    if (kind !== 'handled' && kind !== 'failed') return;
    this.counts[kind] += 1;
    this.#ended[index] = (this.#ended[index] ?? 0) | bitOf(attempt);
    if (kind === 'failed') this.#failed[index] = Math.max(this.#failed[index] ?? 0, attempt);
    else this.#handled[index] = Math.min(255, (this.#handled[index] ?? 0) + 1);
  }

  #misused({ at }: Written): void {
    const { consumer, problems, startedAt } = this.#options;
    const seconds = ((at - startedAt) / 1e6).toFixed(1);
    problems.add({ check: 'settled', what: `the broker ended a channel of ${consumer} for it after ${seconds} s` });
  }

  #started({ index, attempt, at }: Written): void {
    const { problems, publishes, consumer, disruptions, startedAt } = this.#options;
    this.counts.started += 1;
    const published = publishes.of(index);
    if (published === 'none' || published === 'refused') {
      const why = published === 'none' ? 'was never published' : 'was rejected as not stored';
      problems.add({ check: 'refused', what: `${why} and reached ${consumer}`, index });
    }
    if (!this.#has(index, SEEN)) this.#checkOrder(index, at);
    this.#flag(index, SEEN);
    if (attempt < 1 || attempt > ATTEMPTS || attempt > (this.#failed[index] ?? 0) + 1) {
      const what = `starts attempt ${attempt} in ${consumer} after ${this.#failed[index]} that failed`;
      problems.add({ check: 'attempts', what, index });
    }
    const again = this.#isOver(index) || ((this.#ended[index] ?? 0) & bitOf(attempt)) !== 0;
    if (!again) return;
    this.counts.repeats += 1;
    if (isExplained(disruptions, consumer, { from: startedAt + publishes.intentAt(index), to: at })) return;
    const what = `attempt ${attempt} starts again in ${consumer}, and nothing explains it`;
    problems.add({ check: 'unexplained', what, index });
  }

  #checkOrder(index: number, at: number): void {
    const { consumer, publishes } = this.#options;
    if (consumer !== 'ordered') return;
    const before = publishes.confirmedBefore(index);
    if (before < 0 || this.#isOver(before)) return;
    if (this.#mayHaveDied(before, at)) this.#unheard.push({ index, before });
    else this.#outOfOrder(index, before);
  }

  #outOfOrder(index: number, before: number): void {
    const what = `starts before ${before}, which is in front of it, is over`;
    this.#options.problems.add({ check: 'order', what, index });
  }

  /** Its letter is stored in the end, and a fault can have cost the broker's answer. */
  #mayHaveDied(index: number, at: number): boolean {
    const { disruptions, consumer, publishes, startedAt } = this.#options;
    if (!this.#has(index, LETTER) || this.#failed[index] !== ATTEMPTS) return false;
    return isExplained(disruptions, consumer, { from: startedAt + publishes.intentAt(index), to: at });
  }

  /** At the end: whether the message came to one. */
  #close(index: number): void {
    const { publishes, consumer, workload, problems } = this.#options;
    if (this.#isOver(index)) this.counts.distinct += 1;
    const isStored = publishes.of(index) === 'confirmed' || this.#has(index, SEEN);
    if (!isStored || (this.#handled[index] ?? 0) > 0) return;
    if (this.#has(index, LETTER) || this.#has(index, DEAD_BEFORE)) return;
    const became = workload.isPoison(consumer, index) ? 'a dead letter' : 'handled';
    problems.add({ check: 'lost', what: `is not ${became} in ${consumer}`, index });
  }

  #isOver(index: number): boolean {
    return (this.#handled[index] ?? 0) > 0 || this.#has(index, DEAD);
  }

  #has(index: number, flag: number): boolean {
    return ((this.#flags[index] ?? 0) & flag) !== 0;
  }

  #flag(index: number, flag: number): void {
    this.#flags[index] = (this.#flags[index] ?? 0) | flag;
  }
}

function bitOf(attempt: number): number {
  return 1 << Math.min(attempt - 1, 7);
}
