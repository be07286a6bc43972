import type { Content } from './amqp.ts';
import { milliseconds, type Properties } from './properties.ts';

/** Remembers the ids of messages of an entity that detects duplicates. */
export class Duplicates {
  readonly #seen = new Map<string, number>();
  readonly #noted: (id: string, at: number) => void;

  /** `noted` is told of ids that are new. */
  constructor(noted: (id: string, at: number) => void) {
    this.#noted = noted;
  }

  /** Ids with their times in milliseconds. */
  get seen(): ReadonlyMap<string, number> {
    return this.#seen;
  }

  restore(id: string, at: number): void {
    this.#seen.set(id, at);
  }

  /** Whether the message is new, which it is only once within the window. */
  isNew(content: Content, properties: Properties): boolean {
    if (properties['RequiresDuplicateDetection'] !== 'true' || content.message_id === undefined) {
      return true;
    }
    const now = Date.now();
    this.#forget(now - milliseconds(properties['DuplicateDetectionHistoryTimeWindow']));
    const id = String(content.message_id);
    if (this.#seen.has(id)) {
      return false;
    }
    this.#seen.set(id, now);
    this.#noted(id, now);
    return true;
  }

  #forget(before: number): void {
    for (const [id, at] of this.#seen) {
      if (at > before) {
        return;
      }
      this.#seen.delete(id);
    }
  }
}
