import type { Content } from './amqp.ts';
import { Duplicates } from './duplicates.ts';
import type { Journal } from './journal.ts';
import { Mailbox } from './mailbox.ts';
import { MailboxLog } from './mailbox-log.ts';
import { mailboxSettings, type Properties, subscriptionDefaults } from './properties.ts';
import { matches, type Rule } from './rule.ts';
import { Store, type Surroundings } from './store.ts';

export class Queue extends Store {
  readonly kind = 'queue' as const;
  readonly duplicates: Duplicates;

  constructor(path: string, properties: Properties, surroundings: Surroundings) {
    super(path, properties, surroundings);
    this.duplicates = duplicatesOf(path, surroundings.journal);
  }
}

export class Subscription extends Store {
  readonly kind = 'subscription' as const;
  /** By name. */
  readonly rules: Map<string, Rule> = new Map();
}

export class Topic {
  readonly kind = 'topic' as const;
  readonly path: string;
  readonly createdAt: Date = new Date();
  properties: Properties;
  readonly duplicates: Duplicates;
  /** By name in lower case. */
  readonly subscriptions: Map<string, Subscription> = new Map();
  /** Holds what is scheduled, nothing else. */
  readonly schedule: Mailbox;

  constructor(path: string, properties: Properties, journal: () => Journal | undefined) {
    this.path = path;
    this.properties = properties;
    this.duplicates = duplicatesOf(path, journal);
    const settings = mailboxSettings({ ...subscriptionDefaults });
    this.schedule = new Mailbox(
      {
        settings: () => settings,
        passOn: (content) => {
          this.distribute(content);
          return true;
        },
      },
      new MailboxLog(`${path}|main`, journal),
    );
  }

  get mailboxes(): { readonly main: Mailbox } {
    return { main: this.schedule };
  }

  /** Gives every subscription with a rule that matches one copy. */
  distribute(content: Content): void {
    const lives = mailboxSettings({ ...subscriptionDefaults, ...this.properties }).timeToLiveMs;
    const ttl = Math.min(content.ttl ?? Infinity, lives);
    const copy = ttl === Infinity ? content : { ...content, ttl };
    for (const subscription of this.subscriptions.values()) {
      if ([...subscription.rules.values()].some((rule) => matches(rule.filter, copy))) {
        subscription.main.enqueue(copy);
      }
    }
  }
}

function duplicatesOf(path: string, journal: () => Journal | undefined): Duplicates {
  return new Duplicates((id, at) => journal()?.append({ record: 'seen', path, id, at }));
}
