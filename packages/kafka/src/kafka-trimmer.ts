import { systemClock } from '@waybill/core/driver';
import { type ClientAdmin, type Commit, type Place, placeName } from './client/port.ts';

/** Deleting costs a request a topic, and only whole segments give their space back. */
const EVERY_MS = 10_000;

/** Deletes what is finished from topics that only one queue uses, so that they do not grow for ever. */
export class KafkaTrimmer {
  readonly #admin: ClientAdmin;
  readonly #topics: ReadonlySet<string>;
  readonly #finished = new Map<string, Place & { readonly offset: number }>();
  readonly #trimmed = new Map<string, number>();
  #nextAt = 0;

  constructor(admin: ClientAdmin, topics: readonly string[]) {
    this.#admin = admin;
    this.#topics = new Set(topics);
  }

  finished(commits: readonly Commit[]): void {
    for (const { topic, partition, offset } of commits) {
      if (this.#topics.has(topic)) this.#finished.set(placeName({ topic, partition }), { topic, partition, offset });
    }
    if (this.#nextAt > systemClock.now()) return;
    this.#nextAt = systemClock.now() + EVERY_MS;
    void this.#trim();
  }

  /** What is finished by now. */
  end(): Promise<void> {
    return this.#trim();
  }

  async #trim(): Promise<void> {
    const due = [...this.#finished.values()].filter(
      (place) => place.offset > (this.#trimmed.get(placeName(place)) ?? 0),
    );
    if (due.length === 0) return;
    try {
      await this.#admin.deleteBefore(due);
      for (const place of due) this.#trimmed.set(placeName(place), place.offset);
    } catch {
      // Not allowed, or not now: the topic keeps what is finished a little longer.
    }
  }
}
