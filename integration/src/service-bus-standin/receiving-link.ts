import type { Delivery, Sender } from 'rhea';

import { accept, answerDrain, creditOf, cut, inside, prepareDrain, reject } from './amqp.ts';
import { encodeEntry, type Entry, reorder } from './entry.ts';
import type { Faults } from './faults.ts';
import type { LinkHandler } from './link-handler.ts';
import type { Mailbox } from './mailbox.ts';
import type { Consumer, Disposition } from './mailbox-parts.ts';
import { Problem } from './problem.ts';

interface OutcomeFields {
  readonly error?: { readonly condition?: string; readonly description?: string; readonly info?: unknown };
  readonly undeliverable_here?: boolean;
  readonly message_annotations?: Readonly<Record<string, unknown>>;
}

export interface ReceivingLinkOptions {
  readonly path: string;
  readonly mailbox: Mailbox;
  readonly faults: Faults;
}

/** What a client receives with; a mode in which messages are settled as they are sent deletes them. */
export function consumerOf(link: Sender): Consumer {
  const deletes = link.snd_settle_mode === 1;
  inside(link).local.attach.snd_settle_mode = deletes ? 1 : 0;
  inside(link).local.attach.rcv_settle_mode = deletes ? 0 : 1;
  prepareDrain(link);
  return {
    deletes,
    credit: () => (link.is_open() ? creditOf(link) : 0),
    deliver: (entry) => deliver(link, entry),
  };
}

/** Gives a client messages of a mailbox and takes its outcomes. */
export function receivingLink(link: Sender, options: ReceivingLinkOptions): LinkHandler {
  const { mailbox } = options;
  const consumer = consumerOf(link);
  mailbox.addConsumer(consumer);
  return {
    ...takingOutcomes(link, options),
    close: () => mailbox.removeConsumer(consumer),
  };
}

/** The part of a receiving link that does not depend on how it gets messages. */
export function takingOutcomes(link: Sender, options: ReceivingLinkOptions): Omit<LinkHandler, 'close'> {
  const { path, mailbox } = options;
  return {
    path,
    outcome: (delivery) => answerOutcome(delivery, options),
    flow: () => mailbox.pump(),
    drain: () => {
      mailbox.pumpNow();
      answerDrain(link);
    },
  };
}

function deliver(link: Sender, entry: Entry): void {
  const tag = entry.lock === undefined ? Buffer.alloc(16) : reorder(entry.lock.token);
  link.send(encodeEntry(entry), tag, 0);
}

function answerOutcome(delivery: Delivery, { path, mailbox, faults }: ReceivingLinkOptions): void {
  const disposition = dispositionOf(delivery);
  if (disposition === undefined || delivery.settled) {
    return;
  }
  try {
    mailbox.settle(reorder(Buffer.from(delivery.tag)), disposition);
    if (faults.losesAnswer(path, 'settlements')) {
      cut(delivery.link.connection);
    } else {
      accept(delivery);
    }
  } catch (error) {
    if (!(error instanceof Problem)) {
      throw error;
    }
    reject(delivery, { condition: error.condition, description: error.description });
  }
}

function dispositionOf({ remote_state: state }: Delivery): Disposition | undefined {
  const fields = state as OutcomeFields | undefined;
  const { composite_type: outcome } = (state?.['constructor'] ?? {}) as { readonly composite_type?: string };
  switch (outcome ?? '') {
    case 'accepted':
      return { kind: 'complete' };
    case 'released':
      return { kind: 'release' };
    case 'modified':
      return {
        kind: fields?.undeliverable_here === true ? 'defer' : 'abandon',
        properties: fields?.message_annotations,
      };
    case 'rejected':
      return deadLetterOf(fields?.error?.info);
    default:
      return undefined;
  }
}

function deadLetterOf(info: unknown): Disposition {
  const { DeadLetterReason, DeadLetterErrorDescription, ...properties } = (info ?? {}) as Record<string, unknown>;
  return {
    kind: 'dead-letter',
    ...(typeof DeadLetterReason === 'string' ? { reason: DeadLetterReason } : {}),
    ...(typeof DeadLetterErrorDescription === 'string' ? { description: DeadLetterErrorDescription } : {}),
    properties,
  };
}
