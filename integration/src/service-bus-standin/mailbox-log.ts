import type { Entry } from './entry.ts';
import { changedEntry, type Journal, wholeEntry } from './journal.ts';

/** Writes down what happens to the messages of a mailbox; where there is no journal it does nothing. */
export class MailboxLog {
  readonly #name: string;
  readonly #journal: () => Journal | undefined;

  /** `journal` is asked each time: there is none while messages of an older one are put back. */
  constructor(name: string, journal: () => Journal | undefined) {
    this.#name = name;
    this.#journal = journal;
  }

  put(entry: Entry): void {
    this.#journal()?.append(wholeEntry(this.#name, entry));
  }

  change(entry: Entry): void {
    this.#journal()?.append(changedEntry(this.#name, entry));
  }

  drop({ sequence }: Entry): void {
    this.#journal()?.append({ record: 'entry-gone', mailbox: this.#name, sequence });
  }

  sessionState(id: string, state: Buffer | undefined): void {
    const text = state?.toString('base64') ?? null;
    this.#journal()?.append({ record: 'session', mailbox: this.#name, id, state: text });
  }

  /** Must come before an answer that tells of what was written. */
  flush(): void {
    this.#journal()?.flush();
  }
}
