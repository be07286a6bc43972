import { DeleteTopicCommand, ListTopicsCommand, SNSClient } from '@aws-sdk/client-sns';
import { DeleteQueueCommand, ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { Topology } from '@waybill/core/driver';
import type { Progress } from '../progress.ts';
import { sqsClientSettings, type SqsDescriptor } from '../sqs-server.ts';
import { sweepTraces, type Trace } from './traces.ts';

/** As SQS and SNS write a name, without what follows it. */
const plain = (name: string): string => name.replaceAll('.', '_');

/** What a topology is made of; a queue stands for its dead and delay queues. The region is the place. */
export function tracesOf(region: string, { topics, queues }: Topology): readonly Trace[] {
  return [
    ...queues.map(({ name }) => ({ broker: region, kind: 'queue', name })),
    ...topics.map(({ name }) => ({ broker: region, kind: 'topic', name })),
  ];
}

/** Removes what runs that crashed left in an account that outlived them. */
export async function sweepSqs(server: SqsDescriptor, progress: Progress): Promise<void> {
  const swept = await sweepTraces(server.region, async (traces) => {
    for (const { name } of traces) await removeAll(server, plain(name), true);
  });
  if (swept.length > 0) progress(`sweep: removed ${swept.length} queues and topics of dead runs`);
}

/** Removes queues, and topics where the server has them, whose names begin so. */
export async function removeAll(server: SqsDescriptor, prefix: string, hasTopics: boolean): Promise<void> {
  await removeQueues(server, plain(prefix));
  if (hasTopics) await removeTopics(server, plain(prefix));
}

async function removeQueues(server: SqsDescriptor, prefix: string): Promise<void> {
  const client = new SQSClient(sqsClientSettings(server));
  try {
    const { QueueUrls = [] } = await client.send(new ListQueuesCommand({ QueueNamePrefix: prefix, MaxResults: 1_000 }));
    for (const QueueUrl of QueueUrls) await client.send(new DeleteQueueCommand({ QueueUrl }));
  } finally {
    client.destroy();
  }
}

/** Subscriptions end with their topic. */
async function removeTopics(server: SqsDescriptor, prefix: string): Promise<void> {
  const client = new SNSClient(sqsClientSettings(server));
  try {
    let NextToken: string | undefined;
    do {
      const page = await client.send(new ListTopicsCommand(NextToken === undefined ? {} : { NextToken }));
      for (const { TopicArn = '' } of page.Topics ?? []) {
        if (TopicArn.slice(TopicArn.lastIndexOf(':') + 1).startsWith(prefix)) {
          await client.send(new DeleteTopicCommand({ TopicArn }));
        }
      }
      NextToken = page.NextToken;
    } while (NextToken !== undefined);
  } finally {
    client.destroy();
  }
}
