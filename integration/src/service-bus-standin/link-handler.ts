import type { Delivery } from 'rhea';

import type { Content } from './amqp.ts';

/** What the stand-in does at its end of a link. */
export interface LinkHandler {
  /** The entity it leads to, with `$DeadLetterQueue` where it does. */
  readonly path: string;
  /** A message came: bytes where its format is not that of a single message. */
  message?(message: Content | Buffer, delivery: Delivery): void;
  /** The client told an outcome. */
  outcome?(delivery: Delivery): void;
  /** Credit came. */
  flow?(): void;
  /** The client asks to use up the credit. */
  drain?(): void;
  /** The link is gone, whoever ended it. */
  close(): void;
}
