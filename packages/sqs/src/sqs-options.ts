import type { SQSClientConfig } from '@aws-sdk/client-sqs';
import { WaybillError } from '@waybill/core/driver';
import { z } from 'zod';

/** An access key, or a function that finds one: what the AWS SDK takes as `credentials`. */
export type SqsCredentials = NonNullable<SQSClientConfig['credentials']>;

export interface SqsOptions {
  /** `eu-central-1`. @default what the AWS SDK finds: AWS_REGION, then the profile */
  readonly region?: string;
  /** Url of SQS, for servers that are not AWS. @default AWS's of the region */
  readonly endpoint?: string;
  /** Url of SNS. @default `endpoint` */
  readonly snsEndpoint?: string;
  /** @default what the AWS SDK finds: environment, profile, container, instance */
  readonly credentials?: SqsCredentials;
  /** 12 digits: with it, a topic is named without being looked for. @default the account of a queue, or a search among the topics */
  readonly accountId?: string;
  /** False: queues only, SNS is never called, and no topic can be used. @default true */
  readonly topics?: boolean;
  /** `binary`: the body is the bare payload and the attributes are message attributes. @default 'structured' */
  readonly envelope?: 'structured' | 'binary';
  /** What is not settled or extended for this long is handed out again; 1 s to 12 h, in whole seconds. @default 30_000 */
  readonly leaseMs?: number;
  /** How long a receive waits for messages, and a close for open receives; 1 to 20. @default 5 */
  readonly pollSeconds?: number;
  /** Body and attributes, as SQS counts them; more than the default needs `topics: false`. @default 262_144 */
  readonly maxMessageBytes?: number;
  /** Open connections for all but receives, to SQS and to SNS each. @default 50 */
  readonly maxConnections?: number;
  /** @default 5_000 */
  readonly connectTimeoutMs?: number;
  /** A request that is not answered for this long has failed; a receive has `pollSeconds` more. @default 10_000 */
  readonly requestTimeoutMs?: number;
}

/** Checked options with their defaults. */
export interface Settings {
  readonly region: string | undefined;
  readonly endpoint: string | undefined;
  readonly snsEndpoint: string | undefined;
  readonly credentials: SqsCredentials | undefined;
  readonly accountId: string | undefined;
  readonly topics: boolean;
  readonly envelope: 'structured' | 'binary';
  /** Whole seconds. */
  readonly leaseMs: number;
  readonly pollSeconds: number;
  readonly maxMessageBytes: number;
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

/** What SNS takes, and what SQS took until 2025: https://docs.aws.amazon.com/sns/latest/dg/sns-publishing.html */
export const SNS_MAX_BYTES = 262_144;
/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
const SQS_MAX_BYTES = 1_048_576;
/** The longest a message can be hidden. */
export const MAX_HOLD_MS = 43_200_000;

const url = z.url({ protocol: /^https?$/, error: 'must be an http or https url' });
const credentials = z.custom<SqsCredentials>(
  (value) => typeof value === 'function' || (typeof value === 'object' && value !== null),
  'must be credentials or a function that finds them',
);
const schema = z
  .strictObject({
    region: z
      .string()
      .regex(/^[a-z]{2}(-[a-z]+)+-\d+$/, 'must be a region like eu-central-1')
      .optional(),
    endpoint: url.optional(),
    snsEndpoint: url.optional(),
    credentials: credentials.optional(),
    accountId: z
      .string()
      .regex(/^\d{12}$/, 'must be 12 digits')
      .optional(),
    topics: z.boolean().default(true),
    envelope: z.enum(['structured', 'binary']).default('structured'),
    leaseMs: z.number().min(1_000).max(MAX_HOLD_MS).default(30_000),
    pollSeconds: z.int().min(1).max(20).default(5),
    maxMessageBytes: z.int().min(16_384).max(SQS_MAX_BYTES).default(SNS_MAX_BYTES),
    maxConnections: z.int().min(1).max(10_000).default(50),
    connectTimeoutMs: z.int().min(1).default(5_000),
    requestTimeoutMs: z.int().min(100).default(10_000),
  })
  .refine(({ topics, maxMessageBytes }) => !topics || maxMessageBytes <= SNS_MAX_BYTES, {
    path: ['maxMessageBytes'],
    error: `more than ${SNS_MAX_BYTES} needs topics: false, because SNS takes no more`,
  });

/** Throws INVALID_ARGUMENT naming every problem at once, and no value: options hold secrets. */
export function checkOptions(options: SqsOptions): Settings {
  const result = schema.safeParse(options);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`);
    throw new WaybillError('INVALID_ARGUMENT', `sqs() cannot use these options. ${problems.join('; ')}.`);
  }
  const { region, endpoint, snsEndpoint = endpoint, credentials: found, accountId, leaseMs, ...rest } = result.data;
  const whole = Math.ceil(leaseMs / 1_000) * 1_000;
  return { region, endpoint, snsEndpoint, credentials: found, accountId, leaseMs: whole, ...rest };
}
