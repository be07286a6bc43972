import type { MessageAttributeValue, SQSClient } from '@aws-sdk/client-sqs';
import type { Sample } from '../envelope.ts';
import type { SqsPlace } from './sqs.ts';

const CONNECTIONS = 300;

/** With connections enough: by default 50, and the polls of a consumer hold theirs for seconds. */
export async function connect({ endpoint, region, credentials }: SqsPlace, at: string = endpoint): Promise<SQSClient> {
  const [{ SQSClient: Client }, { NodeHttpHandler }, { Agent }] = await Promise.all([
    import('@aws-sdk/client-sqs'),
    import('@smithy/node-http-handler'),
    import('node:http'),
  ]);
  const httpAgent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  return new Client({
    region,
    credentials,
    endpoint: at,
    // It saves each request some work, where a library lets it.
    cacheMiddleware: true,
    md5: false,
    useQueueUrlAsEndpoint: false,
    requestHandler: new NodeHttpHandler({ httpAgent }),
  });
}

export async function urlOf(client: SQSClient, queue: string): Promise<string> {
  const { GetQueueUrlCommand } = await import('@aws-sdk/client-sqs');
  const { QueueUrl } = await client.send(new GetQueueUrlCommand({ QueueName: queue }));
  if (QueueUrl === undefined) throw new Error(`Queue ${queue} has no address.`);
  return QueueUrl;
}

export function attributesOf({ properties }: Sample): Record<string, MessageAttributeValue> {
  return properties as Record<string, MessageAttributeValue>;
}

/** Delays are in whole seconds. */
export function seconds(delayMs: number): number {
  return Math.ceil(delayMs / 1_000);
}

/** Of a receive: no more than it takes until the end of a round is seen. */
export const POLL_SECONDS = 1;
/** What a receive brings at most, and what a call sends or deletes at most. */
export const BATCH = 10;
export const VISIBILITY_SECONDS = 30;
