import type { Content } from './amqp.ts';
import { milliseconds, type Properties } from './properties.ts';

/** Remembers the ids of messages of an entity that detects duplicates. */
export class Duplicates {
  readonly #seen = new Map<string, number>();

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
