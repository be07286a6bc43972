import type { MailboxSettings } from './mailbox-parts.ts';
import { invalid } from './problem.ts';

/** Of an entity, by the names that management uses, such as `LockDuration`; durations in ISO 8601. */
export type Properties = Readonly<Record<string, string>>;

const forever = 'P10675199DT2H48M5.4775807S';

/** In the order in which the service's schema has them. */
export const queueDefaults: Properties = {
  LockDuration: 'PT1M',
  MaxSizeInMegabytes: '1024',
  RequiresDuplicateDetection: 'false',
  RequiresSession: 'false',
  DefaultMessageTimeToLive: forever,
  DeadLetteringOnMessageExpiration: 'false',
  DuplicateDetectionHistoryTimeWindow: 'PT10M',
  MaxDeliveryCount: '10',
  EnableBatchedOperations: 'true',
  Status: 'Active',
  AutoDeleteOnIdle: forever,
  EnablePartitioning: 'false',
  EntityAvailabilityStatus: 'Available',
  EnableExpress: 'false',
};

export const topicDefaults: Properties = {
  DefaultMessageTimeToLive: forever,
  MaxSizeInMegabytes: '1024',
  RequiresDuplicateDetection: 'false',
  DuplicateDetectionHistoryTimeWindow: 'PT10M',
  EnableBatchedOperations: 'true',
  Status: 'Active',
  SupportOrdering: 'true',
  AutoDeleteOnIdle: forever,
  EnablePartitioning: 'false',
  EntityAvailabilityStatus: 'Available',
  EnableExpress: 'false',
};

export const subscriptionDefaults: Properties = {
  LockDuration: 'PT1M',
  RequiresSession: 'false',
  DefaultMessageTimeToLive: forever,
  DeadLetteringOnMessageExpiration: 'false',
  DeadLetteringOnFilterEvaluationExceptions: 'true',
  MaxDeliveryCount: '10',
  EnableBatchedOperations: 'true',
  Status: 'Active',
  AutoDeleteOnIdle: forever,
  EntityAvailabilityStatus: 'Available',
};

export function mailboxSettings(properties: Properties): MailboxSettings {
  return {
    lockMs: milliseconds(properties['LockDuration']),
    maxDeliveries: Number(properties['MaxDeliveryCount']),
    requiresSession: properties['RequiresSession'] === 'true',
    timeToLiveMs: milliseconds(properties['DefaultMessageTimeToLive']),
    deadLettersExpired: properties['DeadLetteringOnMessageExpiration'] === 'true',
  };
}

/** The service takes locks of up to five minutes and one delivery at least. Shorter ones than its own are for tests. */
export function checkProperties(properties: Properties): void {
  const { LockDuration: lock, MaxDeliveryCount: deliveries } = properties;
  if (lock !== undefined && (milliseconds(lock) > 300_000 || milliseconds(lock) <= 0)) {
    throw invalid(`SubCode=40000. The value for the property 'LockDuration', '${lock}', is out of range.`);
  }
  if (deliveries !== undefined && !(Number(deliveries) >= 1 && Number(deliveries) <= 2000)) {
    throw invalid(`SubCode=40000. The value for the property 'MaxDeliveryCount', '${deliveries}', is out of range.`);
  }
}

/** Throws where an update changes what an entity is created with for good. */
export function checkKept(before: Properties, after: Properties): void {
  for (const name of ['RequiresSession', 'RequiresDuplicateDetection', 'EnablePartitioning']) {
    if (after[name] !== undefined && after[name] !== before[name]) {
      throw invalid(`SubCode=40000. The value for the ${name} property of an existing entity cannot be changed.`);
    }
  }
}

/** Of an ISO 8601 duration; the longest one is Infinity. */
export function milliseconds(duration: string | undefined): number {
  const parts = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?$/.exec(duration ?? '');
  if (parts === null) {
    throw invalid(`SubCode=40000. '${duration}' is not a duration.`);
  }
  const [days, hours, minutes, seconds] = parts.slice(1).map((part: string | undefined) => Number(part ?? 0));
  const total = (((days ?? 0) * 24 + (hours ?? 0)) * 60 + (minutes ?? 0)) * 60_000 + (seconds ?? 0) * 1000;
  return total > 9e14 ? Infinity : total;
}
