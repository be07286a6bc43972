import { randomUUID } from 'node:crypto';

import {
  CreateQueueCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';

import { setting } from './setting.ts';

const REGION_SETTING = 'WAYBILL_SQS_REGION';
const ENDPOINT_SETTING = 'WAYBILL_SQS_ENDPOINT';

/** What a message of a fault names. */
export const sqsSettings: string = `${REGION_SETTING} and ${ENDPOINT_SETTING}`;

export interface SqsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** What another process needs to reach the same server; plain data. */
export interface SqsDescriptor {
  /** URL of the server, for every service that it speaks. Absent for AWS itself. */
  readonly endpoint?: string;
  readonly region: string;
  /** Absent for a server that was given: the SDK's default chain finds them. */
  readonly credentials?: SqsCredentials;
  /** As the server tells it, such as `1.7.1`; `unknown` for one that was given. */
  readonly version: string;
  /** Absent for a server that was given. */
  readonly containerId?: string;
}

/** The configuration of a client of the AWS SDK. */
export interface SqsClientSettings {
  readonly region: string;
  readonly endpoint?: string;
  readonly credentials?: SqsCredentials;
  readonly useQueueUrlAsEndpoint: boolean;
}

/** What clients of the AWS SDK for SQS, SNS or IAM take to reach a server. The host in a queue's URL counts for nothing. */
export function sqsClientSettings(server: SqsDescriptor): SqsClientSettings {
  const { region, endpoint, credentials } = server;
  return {
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    useQueueUrlAsEndpoint: false,
  };
}

/**
 * The server that the environment gives: AWS in the region of `WAYBILL_SQS_REGION`, or what listens at
 * `WAYBILL_SQS_ENDPOINT` (whose region is `us-east-1` unless set).
 */
export function givenSqs(): SqsDescriptor | undefined {
  const endpoint = setting(ENDPOINT_SETTING);
  const region = setting(REGION_SETTING);
  if (endpoint === undefined && region === undefined) {
    return undefined;
  }
  return { region: region ?? sqsRegion, version: 'unknown', ...(endpoint === undefined ? {} : { endpoint }) };
}

/** Of the servers that the harness starts. */
export const sqsRegion = 'us-east-1';

/** Sends a message through a queue of its own, which it removes. Resolves once all of that has worked. */
export async function workOnceWithSqs(server: SqsDescriptor): Promise<void> {
  const client = new SQSClient({
    ...sqsClientSettings(server),
    maxAttempts: 1,
    requestHandler: { connectionTimeout: 2_000, requestTimeout: 10_000 },
  });
  try {
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: `waybill-probe-${randomUUID()}` }));
    await client.send(new SendMessageCommand({ QueueUrl, MessageBody: 'probe' }));
    const { Messages } = await client.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5 }));
    const ReceiptHandle = Messages?.[0]?.ReceiptHandle;
    await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    await client.send(new DeleteQueueCommand({ QueueUrl }));
  } finally {
    client.destroy();
  }
}
