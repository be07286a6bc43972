import type { Content } from './amqp.ts';
import { Duplicates } from './duplicates.ts';
import { Mailbox } from './mailbox.ts';
import { mailboxSettings, type Properties, subscriptionDefaults } from './properties.ts';
import { matches, type Rule } from './rule.ts';
import { Store } from './store.ts';

export class Queue extends Store {
  readonly kind = 'queue' as const;
  readonly duplicates: Duplicates = new Duplicates();
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
  readonly duplicates: Duplicates = new Duplicates();
  /** By name in lower case. */
  readonly subscriptions: Map<string, Subscription> = new Map();
  /** Holds what is scheduled, nothing else. */
  readonly schedule: Mailbox;

  constructor(path: string, properties: Properties) {
    this.path = path;
    this.properties = properties;
    const settings = mailboxSettings({ ...subscriptionDefaults });
    this.schedule = new Mailbox({
      settings: () => settings,
      passOn: (content) => {
        this.distribute(content);
        return true;
      },
    });
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
