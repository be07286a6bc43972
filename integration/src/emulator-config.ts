import { createHash } from 'node:crypto';

import type { Topology } from '@waybill/core/driver';

import { emulatorDeliveries } from './service-bus-server.ts';

/** The only name that the emulator takes. */
const NAMESPACE = 'sbemulatorns';
/** Queues and topics together. */
const MOST_ENTITIES = 50;
const MOST_SUBSCRIPTIONS = 50;
const LOCK_MS = { queue: [5_000, 300_000], subscription: [60_000, 300_000] } as const;
const LONGEST_RULE = 50;

interface Rule {
  readonly Name: string;
  readonly Properties:
    | { readonly FilterType: 'Correlation'; readonly CorrelationFilter: { readonly Label: string } }
    | { readonly FilterType: 'Sql'; readonly SqlFilter: { readonly SqlExpression: string } };
}

interface Locking {
  readonly DeadLetteringOnMessageExpiration: boolean;
  readonly LockDuration: string;
  readonly MaxDeliveryCount: number;
  readonly RequiresSession: boolean;
}

interface EmulatorSubscription {
  readonly Name: string;
  readonly Properties: Locking & { readonly ForwardTo: string };
  readonly Rules: readonly Rule[];
}

export interface EmulatorConfig {
  readonly UserConfig: {
    readonly Namespaces: readonly [
      {
        readonly Name: string;
        readonly Queues: readonly { readonly Name: string; readonly Properties: Locking }[];
        readonly Topics: readonly { readonly Name: string; readonly Subscriptions: readonly EmulatorSubscription[] }[];
      },
    ];
    readonly Logging: { readonly Type: 'File' };
  };
}

/**
 * What the emulator reads at its start, for what `bus.topology()` tells: the entities that the driver would make. Throws
 * where it takes fewer. Locks are as near to `leaseMs` as it lets them be; an hour is the longest that it keeps a message.
 */
export function emulatorConfig({ topics, queues }: Topology, leaseMs = 30_000): EmulatorConfig {
  const names = new Set([
    ...topics.map(({ name }) => name),
    ...queues.flatMap(({ bindings }) => bindings.map(({ topic }) => topic.name)),
  ]);
  if (names.size + queues.length > MOST_ENTITIES) {
    throw new Error(`The emulator takes ${MOST_ENTITIES} queues and topics, not ${names.size + queues.length}.`);
  }
  return {
    UserConfig: {
      Namespaces: [
        {
          Name: NAMESPACE,
          Queues: queues.map(({ name, ordered }) => ({ Name: name, Properties: locking('queue', leaseMs, ordered) })),
          Topics: [...names].map((name) => ({ Name: name, Subscriptions: subscriptionsOf(name, queues, leaseMs) })),
        },
      ],
      Logging: { Type: 'File' },
    },
  };
}

function subscriptionsOf(topic: string, queues: Topology['queues'], leaseMs: number): readonly EmulatorSubscription[] {
  const subscriptions = queues.flatMap(({ name, bindings }) =>
    bindings
      .filter((binding) => binding.topic.name === topic)
      .map(({ types }) => ({
        Name: name,
        Properties: { ...locking('subscription', leaseMs, false), ForwardTo: name },
        Rules: types.length === 0 ? [NOTHING] : types.map(ruleFor),
      })),
  );
  if (subscriptions.length > MOST_SUBSCRIPTIONS) {
    throw new Error(
      `The emulator takes ${MOST_SUBSCRIPTIONS} subscriptions of a topic; "${topic}" has ${subscriptions.length}.`,
    );
  }
  return subscriptions;
}

function locking(kind: keyof typeof LOCK_MS, leaseMs: number, ordered: boolean): Locking {
  const [least, most] = LOCK_MS[kind];
  return {
    DeadLetteringOnMessageExpiration: true,
    LockDuration: `PT${Math.min(Math.max(leaseMs, least), most) / 1_000}S`,
    MaxDeliveryCount: emulatorDeliveries,
    RequiresSession: ordered,
  };
}

const NOTHING: Rule = {
  Name: 'nothing',
  Properties: { FilterType: 'Sql', SqlFilter: { SqlExpression: '1=0' } },
};

function ruleFor(type: string): Rule {
  return {
    Name: ruleName(type),
    // The subject of a message, in the words of the emulator.
    Properties: { FilterType: 'Correlation', CorrelationFilter: { Label: type } },
  };
}

/** As the driver names it, so that it finds the rule. */
function ruleName(type: string): string {
  if (type.length <= LONGEST_RULE && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(type)) return type;
  const digest = createHash('sha256').update(type).digest('hex').slice(0, 12);
  return `${type.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, LONGEST_RULE - 13)}-${digest}`;
}
