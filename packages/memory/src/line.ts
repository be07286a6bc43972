import { Deque } from './deque.ts';
import { putInOrder, type StoredMessage } from './stored-message.ts';

/** The ready messages of a lane and the rule by which they are handed out. A holder is one subscription. */
export interface Line {
  /** Ready messages, also those that only one holder may have. */
  readonly size: number;
  push(stored: StoredMessage): void;
  /** The next message that this holder may have; it then holds it. */
  take(holder: object): StoredMessage | undefined;
  /** The holder no longer holds it, and it is gone. */
  drop(stored: StoredMessage): void;
  /** The holder no longer holds it, and it is back in its old place. */
  putBack(stored: StoredMessage): void;
  /** The holder holds nothing and asks no more. */
  forget(holder: object): void;
  clear(): void;
}

/** First in, first out, to whoever asks. */
export class PlainLine implements Line {
  readonly #ready: Deque<StoredMessage> = new Deque();

  get size(): number {
    return this.#ready.length;
  }

  push(stored: StoredMessage): void {
    this.#ready.push(stored);
  }

  take(): StoredMessage | undefined {
    return this.#ready.shift();
  }

  drop(): void {}

  putBack(stored: StoredMessage): void {
    putInOrder(this.#ready, stored);
  }

  forget(): void {}

  clear(): void {
    this.#ready.clear();
  }

  /** Up to `max` ready messages behind a place, without taking them. */
  after(sequence: number, max: number): StoredMessage[] {
    let low = 0;
    let high = this.#ready.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ready.at(middle)?.sequence ?? 0) > sequence) high = middle;
      else low = middle + 1;
    }
    const found: StoredMessage[] = [];
    for (let index = low; found.length < max; index++) {
      const stored = this.#ready.at(index);
      if (stored === undefined) break;
      found.push(stored);
    }
    return found;
  }
}
