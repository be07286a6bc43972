import { readRedrive, readTypes, writeRedrive, writeTypes } from './sqs-policy.ts';
import type { QueueEntity, SubscriptionEntity } from './sqs-topology.ts';

export type Attributes = Readonly<Record<string, string | undefined>>;

/** Backstop; the core decides long before. */
const MAX_RECEIVES = 100;
/** The most that SQS takes: 14 days. */
const RETENTION_SECONDS = 1_209_600;
/** The message size that every queue takes, also those made before 2025. */
const SMALL_MESSAGE_BYTES = 262_144;
const LARGEST_MESSAGE_BYTES = 1_048_576;

const FIFO: Attributes = {
  FifoQueue: 'true',
  ContentBasedDeduplication: 'false',
  // Both together are what AWS calls high throughput.
  DeduplicationScope: 'messageGroup',
  FifoThroughputLimit: 'perMessageGroupId',
};

/** Why a queue must not have another value. */
const BECAUSE: Readonly<Record<string, string>> = {
  MessageRetentionPeriod: 'it would lose messages',
  DelaySeconds: 'it would hold back every message',
  ContentBasedDeduplication: 'it would take equal bodies for one message',
  DeduplicationScope: 'keys would share their throughput',
  FifoThroughputLimit: 'keys would share their throughput',
};

export interface Wanted {
  /** ARN of the queue for what was received too often. */
  readonly deadArn: string | undefined;
  readonly maxMessageBytes: number;
}

/** What a queue is made with. */
export function queueAttributes({ fifo }: QueueEntity, { deadArn, maxMessageBytes }: Wanted): Record<string, string> {
  return {
    ...checkedAttributes(fifo),
    // Constants: each receive says its own.
    VisibilityTimeout: '30',
    ReceiveMessageWaitTimeSeconds: '0',
    ...(maxMessageBytes > SMALL_MESSAGE_BYTES ? { MaximumMessageSize: String(LARGEST_MESSAGE_BYTES) } : {}),
    ...(deadArn === undefined ? {} : { RedrivePolicy: writeRedrive({ target: deadArn, receives: MAX_RECEIVES }) }),
  };
}

/** One sentence for each setting that would change what Waybill promises; what a server does not tell is skipped. */
export function queueDifferences(
  { entity, fifo, dead }: QueueEntity,
  found: Attributes,
  { deadArn, maxMessageBytes }: Wanted,
): readonly string[] {
  const problems: string[] = [];
  for (const [name, wanted] of Object.entries(checkedAttributes(fifo))) {
    const value = found[name];
    if (value === undefined || value === wanted) continue;
    problems.push(`Queue "${entity}" has ${name} ${value}, and must have ${wanted}: ${BECAUSE[name]}.`);
  }
  const size = found['MaximumMessageSize'];
  if (size !== undefined && Number(size) < maxMessageBytes) {
    problems.push(`Queue "${entity}" takes messages of ${size} bytes, and maxMessageBytes is ${maxMessageBytes}.`);
  }
  const problem = dead === undefined || deadArn === undefined ? undefined : redriveProblem(found, deadArn);
  if (problem !== undefined) {
    problems.push(`Queue "${entity}" ${problem}, and must give up to "${dead}" after ${MAX_RECEIVES} receives.`);
  }
  return problems;
}

function checkedAttributes(fifo: boolean): Record<string, string> {
  const checked = { MessageRetentionPeriod: String(RETENTION_SECONDS), DelaySeconds: '0' };
  return fifo ? { ...checked, ...(FIFO as Record<string, string>) } : checked;
}

function redriveProblem(found: Attributes, deadArn: string): string | undefined {
  const redrive = readRedrive(found['RedrivePolicy']);
  if (redrive === undefined) return 'has no redrive policy';
  if (redrive.target === deadArn && redrive.receives === MAX_RECEIVES) return undefined;
  return `gives up to "${entityOfArn(redrive.target)}" after ${redrive.receives} receives`;
}

/** What a subscription is made with. */
export function subscriptionAttributes(types: readonly string[], deadArn: string | undefined): Record<string, string> {
  return {
    RawMessageDelivery: 'true',
    FilterPolicy: writeTypes(types),
    ...(deadArn === undefined ? {} : { RedrivePolicy: writeRedrive({ target: deadArn }) }),
  };
}

/** One sentence for each setting of a subscription that would change what arrives. */
export function subscriptionDifferences(
  { topic, queue }: SubscriptionEntity,
  found: Attributes,
  deadArn: string | undefined,
): readonly string[] {
  const what = `The subscription of queue "${queue}" to topic "${topic}"`;
  const problems: string[] = [];
  if (found['RawMessageDelivery'] !== 'true') {
    problems.push(`${what} has RawMessageDelivery ${found['RawMessageDelivery'] ?? 'false'}, and must have true.`);
  }
  const isByBody = found['FilterPolicyScope'] === 'MessageBody';
  if (isByBody || readTypes(found['FilterPolicy']) === undefined) {
    const filter = found['FilterPolicy'] ?? 'none';
    const scope = isByBody ? ' of bodies' : '';
    problems.push(`${what} has the filter${scope} ${filter}, and must list types as ${writeTypes(['…'])}.`);
  }
  const target = readRedrive(found['RedrivePolicy'])?.target;
  if (deadArn !== undefined && target !== deadArn) {
    const now =
      target === undefined ? 'has no queue for what SNS cannot deliver' : `gives up to "${entityOfArn(target)}"`;
    problems.push(`${what} ${now}, and must give up to "${entityOfArn(deadArn)}".`);
  }
  return problems;
}

/** Types that the subscription does not let in yet. */
export function missingTypes({ types }: SubscriptionEntity, found: Attributes): readonly string[] {
  const known = new Set(readTypes(found['FilterPolicy']));
  return types.filter((type) => !known.has(type));
}

/** `arn:aws:sqs:eu-central-1:000000000000:billing` is `billing`. */
function entityOfArn(arn: string): string {
  return arn.slice(arn.lastIndexOf(':') + 1);
}
