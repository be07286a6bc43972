import {
  type CreateQueueOptions,
  type CreateSubscriptionOptions,
  type CorrelationRuleFilter,
  ServiceBusAdministrationClient,
  type SqlRuleFilter,
} from '@azure/service-bus';
import { toWaybillError } from './service-bus-error.ts';
import type { Settings } from './service-bus-options.ts';
import { type Entity, nameOf, type QueueEntity, ruleName, type SubscriptionEntity } from './service-bus-topology.ts';

/** Nothing passes: a subscription without types. */
const NOTHING: Rule = { name: 'nothing', filter: { sqlExpression: '1=0' } };

/** What a queue or subscription is on the broker, as far as it matters. */
export interface Found {
  readonly requiresSession: boolean;
  readonly maxDeliveryCount: number;
  readonly forwardTo?: string;
}

export interface Rule {
  readonly name: string;
  readonly filter: CorrelationRuleFilter | SqlRuleFilter;
}

/** One rule a type; the broker compares the subject. */
export function rulesOf({ types }: SubscriptionEntity): readonly Rule[] {
  return types.length === 0 ? [NOTHING] : types.map((type) => ({ name: ruleName(type), filter: { subject: type } }));
}

/** The management client: https, or the http of the emulator, which it does not know. */
export function administrationFor({ access, managementUrl, timeoutMs }: Settings): ServiceBusAdministrationClient {
  const options = { retryOptions: { maxRetries: 0 } };
  const client =
    'connectionString' in access
      ? new ServiceBusAdministrationClient(access.connectionString(), options)
      : new ServiceBusAdministrationClient(access.namespace, access.credential, options);
  const send = client.sendRequest.bind(client);
  client.sendRequest = (request) => {
    request.timeout = timeoutMs;
    if (managementUrl !== undefined) {
      request.url = request.url.replace(/^https:\/\/[^/]+/, managementUrl);
      request.allowInsecureConnection = managementUrl.startsWith('http:');
    }
    return send(request);
  };
  return client;
}

/** Creates; rejects with ALREADY_EXISTS when somebody else was first. */
export async function create(
  client: ServiceBusAdministrationClient,
  entity: Entity,
  settings: Settings,
  abortSignal: AbortSignal,
): Promise<void> {
  try {
    if (entity.kind === 'queue')
      await client.createQueue(entity.name, { ...queueOptions(entity, settings), abortSignal });
    else if (entity.kind === 'topic') await client.createTopic(entity.name, { supportOrdering: true, abortSignal });
    else {
      const options = { ...subscriptionOptions(entity, settings), abortSignal };
      await client.createSubscription(entity.topic, entity.name, options);
    }
  } catch (cause) {
    throw toWaybillError(cause, `create ${entity.kind} "${nameOf(entity)}"`);
  }
}

/** What is there of this name; undefined: nothing. */
export async function find(
  client: ServiceBusAdministrationClient,
  entity: Entity,
  abortSignal: AbortSignal,
): Promise<Found | undefined> {
  try {
    if (entity.kind === 'queue') return await client.getQueue(entity.name, { abortSignal });
    if (entity.kind === 'subscription') return await client.getSubscription(entity.topic, entity.name, { abortSignal });
    await client.getTopic(entity.name, { abortSignal });
    return { requiresSession: false, maxDeliveryCount: Number.POSITIVE_INFINITY };
  } catch (cause) {
    const error = toWaybillError(cause, `look up ${entity.kind} "${nameOf(entity)}"`);
    if (error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

function queueOptions({ requiresSession }: QueueEntity, settings: Settings): CreateQueueOptions {
  return { ...lockOptions(settings), requiresSession };
}

function subscriptionOptions(entity: SubscriptionEntity, settings: Settings): CreateSubscriptionOptions {
  const [first] = rulesOf(entity);
  return {
    ...lockOptions(settings),
    forwardTo: entity.name,
    deadLetteringOnFilterEvaluationExceptions: true,
    // Without it there is a rule that lets everything pass, until it is removed.
    defaultRuleOptions: first as Rule,
  };
}

/** No time to live is given, so that nothing expires; what others send with one ends up in the dead lane. */
function lockOptions({ leaseMs, maxDeliveries }: Settings): CreateQueueOptions & CreateSubscriptionOptions {
  return {
    lockDuration: `PT${leaseMs / 1_000}S`,
    maxDeliveryCount: maxDeliveries,
    deadLetteringOnMessageExpiration: true,
  };
}
