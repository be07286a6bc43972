import type { Content } from './amqp.ts';
import type { Entry } from './entry.ts';
import type { Journal } from './journal.ts';
import { Mailbox } from './mailbox.ts';
import { MailboxLog } from './mailbox-log.ts';
import type { DeadLetterCause, MailboxOwner, MailboxSettings } from './mailbox-parts.ts';
import { mailboxSettings, type Properties } from './properties.ts';
import { invalid, Problem } from './problem.ts';
import { pathOf } from './token.ts';

/** Sends to another entity. Throws where that is not possible. */
export type Forward = (path: string, content: Content) => void;

export type MailboxName = 'dead' | 'main' | 'transferDead';

/** What a store needs of the namespace. */
export interface Surroundings {
  readonly forward: Forward;
  readonly journal: () => Journal | undefined;
}

/** A queue or a subscription: its messages and its two dead letter queues. */
export class Store {
  readonly path: string;
  readonly createdAt: Date = new Date();
  readonly main: Mailbox;
  readonly dead: Mailbox;
  readonly transferDead: Mailbox;
  readonly #forward: Forward;
  #properties: Properties;
  #settings: MailboxSettings;

  constructor(path: string, properties: Properties, surroundings: Surroundings) {
    this.path = path;
    this.#properties = properties;
    this.#settings = mailboxSettings(properties);
    this.#forward = surroundings.forward;
    const log = (name: MailboxName): MailboxLog => new MailboxLog(`${path}|${name}`, surroundings.journal);
    this.main = new Mailbox(
      {
        settings: () => this.#settings,
        deadLetter: (entry, cause) => this.#deadLetter(entry, cause),
        passOn: (content) => this.#passOn(content),
      },
      log('main'),
    );
    this.dead = new Mailbox(this.#ownDeadLetters(), log('dead'));
    this.transferDead = new Mailbox(this.#ownDeadLetters(), log('transferDead'));
  }

  get properties(): Properties {
    return this.#properties;
  }

  set properties(properties: Properties) {
    this.#settings = mailboxSettings(properties);
    this.#properties = properties;
  }

  get settings(): MailboxSettings {
    return this.#settings;
  }

  get mailboxes(): Readonly<Record<MailboxName, Mailbox>> {
    return { main: this.main, dead: this.dead, transferDead: this.transferDead };
  }

  #passOn(content: Content): boolean {
    const to = this.#properties['ForwardTo'];
    if (to === undefined || to === '') {
      return false;
    }
    this.#forwardTo(to, content);
    return true;
  }

  /** What comes of it is no business of the sender. */
  #forwardTo(to: string, content: Content): void {
    try {
      this.#forward(pathOf(to), content);
    } catch (error) {
      if (!(error instanceof Problem)) {
        throw error;
      }
      // An entity that is gone or disabled is trouble of the transfer, a message that it does not take of the message.
      const isRefused = error.condition === 'com.microsoft:argument-error';
      const mailbox = isRefused ? this.dead : this.transferDead;
      const reason = isRefused ? 'Session ID is null.' : error.condition;
      mailbox.enqueue(withCause(content, { reason, description: error.description }));
    }
  }

  #deadLetter(entry: Entry, cause: DeadLetterCause): void {
    const content = withCause(entry.content, cause);
    const to = this.#properties['ForwardDeadLetteredMessagesTo'];
    if (to !== undefined && to !== '') {
      const source = { 'x-opt-deadletter-source': this.path };
      this.#forwardTo(to, { ...content, message_annotations: { ...content.message_annotations, ...source } });
      return;
    }
    const { sequence, deliveryCount, enqueuedAt } = entry;
    this.dead.enqueue(content, { firstSequence: sequence, deliveryCount, enqueuedAt });
  }

  /** Nothing expires there, nothing is given up, and sessions do not matter. */
  #ownDeadLetters(): MailboxOwner {
    return {
      settings: () => ({
        lockMs: this.#settings.lockMs,
        maxDeliveries: Infinity,
        requiresSession: false,
        timeToLiveMs: Infinity,
        deadLettersExpired: false,
      }),
      passOn: () => false,
    };
  }
}

/** Throws where an entity is disabled for what is wanted of it. */
export function checkEnabled(
  entity: Pick<Store, 'path' | 'properties'>,
  disabled: 'ReceiveDisabled' | 'SendDisabled',
): void {
  const status = entity.properties['Status'];
  if (status === 'Disabled' || status === disabled) {
    throw new Problem('com.microsoft:entity-disabled', `Messaging entity '${entity.path}' is currently disabled.`, 400);
  }
}

/** Throws for a message without a session where those are required. */
export function checkSession(store: Store, content: Content): void {
  if (store.settings.requiresSession && content.group_id === undefined) {
    throw invalid(
      'The SessionId was not set on a message, and it cannot be sent to the entity. Entities that have session support enabled can only receive messages that have the SessionId set to a valid value.',
    );
  }
}

function withCause(content: Content, cause: DeadLetterCause): Content {
  const properties = {
    ...content.application_properties,
    ...cause.properties,
    ...(cause.reason === undefined ? {} : { DeadLetterReason: cause.reason }),
    ...(cause.description === undefined ? {} : { DeadLetterErrorDescription: cause.description }),
  };
  return { ...content, application_properties: properties };
}
