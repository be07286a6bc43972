/** How a mailbox treats its messages; times in milliseconds, Infinity for none. */
export interface MailboxSettings {
  readonly lockMs: number;
  readonly maxDeliveries: number;
  readonly requiresSession: boolean;
  readonly timeToLiveMs: number;
  readonly deadLettersExpired: boolean;
}

/** Why a message goes to a dead letter queue, and properties to put on it. */
export interface DeadLetterCause {
  readonly reason?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, unknown>>;
}
