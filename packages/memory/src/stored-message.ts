import type { OutgoingMessage } from '@waybill/core/driver';
import type { Deque } from './deque.ts';

/** One stored copy in one lane; `raw` of a delivery. The body is the sender's own array and is never written to. */
export interface StoredMessage {
  readonly message: OutgoingMessage;
  /** Place in its lane, from 1, given when it becomes ready. */
  sequence: number;
  /** Hand-outs so far. */
  deliveries: number;
  /** Why it is in the dead lane, when the broker moved it there. */
  readonly brokerReason?: string;
}

/** Puts a message into its old place. What is returned together is cheapest in falling order. */
export function putInOrder(line: Deque<StoredMessage>, stored: StoredMessage): void {
  const earlier: StoredMessage[] = [];
  for (let first = line.at(0); first !== undefined && first.sequence < stored.sequence; first = line.at(0)) {
    earlier.push(first);
    line.shift();
  }
  line.unshift(stored);
  for (const message of earlier.toReversed()) line.unshift(message);
}
