import type { Message } from '@aws-sdk/client-sqs';
import type { Consumer as BbcConsumer, ConsumerOptions } from 'sqs-consumer';
import type { Message as ProducerMessage } from 'sqs-producer';
import { decode, encode } from '../envelope.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { attributesOf, BATCH, connect, POLL_SECONDS, seconds, urlOf, VISIBILITY_SECONDS } from './client.ts';
import type { SqsPlace } from './sqs.ts';

/** Both are the BBC's, and made for each other. */
export const side: Side<SqsPlace> = {
  name: 'sqs-producer with sqs-consumer',
  kind: 'peer',
  packages: ['sqs-producer', 'sqs-consumer', '@aws-sdk/client-sqs'],
  share: { publish: 0.25, consume: 0.25 },
  notes: {
    publish: 'gathers nothing: a call of send is a request',
    storm: 'message by message, hidden for a second: of a batch it hides all or none',
  },
  publisher,
  consumer: (setting, handle) => consume(setting, handle, 1),
};

async function publisher({ descriptor, queue, sample }: Setting<SqsPlace>): Promise<Publisher> {
  const { Producer } = await import('sqs-producer');
  const client = await connect(descriptor);
  const producer = Producer.create({ queueUrl: await urlOf(client, queue), sqs: client });
  const messageAttributes = attributesOf(sample) as NonNullable<ProducerMessage['messageAttributes']>;
  return {
    publish: async (order) => {
      await producer.send({ ...encode(sample, order), messageAttributes });
    },
    close: async () => client.destroy(),
  };
}

/** So many instances: one receives again when it has handled and deleted what it had. */
export async function consume(setting: Setting<SqsPlace>, handle: Handle, instances: number): Promise<Consumer> {
  const { Consumer: Bbc } = await import('sqs-consumer');
  const sqs = await connect(setting.descriptor);
  const options = {
    queueUrl: await urlOf(sqs, setting.queue),
    sqs,
    batchSize: BATCH,
    waitTimeSeconds: POLL_SECONDS,
    visibilityTimeout: VISIBILITY_SECONDS,
    pollingCompleteWaitTimeMs: 5_000,
    messageAttributeNames: ['All'],
    messageSystemAttributeNames: ['All'],
    ...(setting.measure === 'storm' ? oneByOne(setting, handle) : tens(handle)),
  } satisfies ConsumerOptions;
  const consumers = Array.from({ length: instances }, () => Bbc.create(options));
  for (const consumer of consumers) {
    consumer.on('error', (error) => console.error(error.message));
    consumer.on('processing_error', () => undefined);
    consumer.start();
  }
  return {
    close: async () => {
      await Promise.all(consumers.map(stop));
      sqs.destroy();
    },
  };
}

function tens(handle: Handle): Pick<ConsumerOptions, 'handleMessageBatch'> {
  return {
    handleMessageBatch: async (messages) => {
      await Promise.all(messages.map(({ Body = '' }) => handle(decode(Body))));
      return messages;
    },
  };
}

function oneByOne({ retryDelayMs }: Setting, handle: Handle): Partial<ConsumerOptions> {
  return {
    terminateVisibilityTimeout: seconds(retryDelayMs),
    handleMessage: async (message: Message) => {
      await handle(decode(message.Body ?? ''));
      return message;
    },
  };
}

async function stop(consumer: BbcConsumer): Promise<void> {
  await new Promise<void>((resolve) => {
    consumer.once('stopped', () => resolve());
    consumer.stop();
  });
}
