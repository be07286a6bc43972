import type { Content } from './amqp.ts';
import type { Entry } from './entry.ts';

/** How a mailbox treats its messages; times in milliseconds, Infinity for none. */
export interface MailboxSettings {
  readonly lockMs: number;
  readonly maxDeliveries: number;
  readonly requiresSession: boolean;
  readonly timeToLiveMs: number;
  readonly deadLettersExpired: boolean;
}

/** Who gets messages as they come. */
export interface Consumer {
  /** Whether messages are gone once they are handed out. */
  readonly deletes: boolean;
  /** How many more it takes now. */
  credit(): number;
  /** Gets a message with its lock, or without one when it is gone from the mailbox. */
  deliver(entry: Entry): void;
}

/** Why a message goes to a dead letter queue, and properties to put on it. */
export interface DeadLetterCause {
  readonly reason?: string;
  readonly description?: string;
  readonly properties?: Properties;
}

/** What happens to messages that leave a mailbox other than by being received. */
export interface MailboxOwner {
  settings(): MailboxSettings;
  /** Called for a message that is gone from the mailbox. None for a dead letter queue itself. */
  deadLetter?(entry: Entry, cause: DeadLetterCause): void;
  /** Takes a message in place of the mailbox, or returns false. */
  passOn(content: Content): boolean;
}

export type Disposition =
  | { readonly kind: 'complete' | 'release' }
  | { readonly kind: 'abandon' | 'defer'; readonly properties: Properties | undefined }
  | ({ readonly kind: 'dead-letter' } & DeadLetterCause);

export interface EnqueueOptions {
  readonly firstSequence?: number;
  readonly deliveryCount?: number;
  readonly enqueuedAt?: number;
}

type Properties = Readonly<Record<string, unknown>>;
