import type { SQSClient } from '@aws-sdk/client-sqs';
import type { SQSConsumerDependencies, SQSConsumerOptions } from '@message-queue-toolkit/sqs';
import { z } from 'zod';
import { eventOf } from '../envelope.ts';
import { orderSchema } from '../order.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { BATCH, connect, POLL_SECONDS, urlOf } from './client.ts';
import type { SqsPlace } from './sqs.ts';

export const side: Side<SqsPlace> = {
  name: '@message-queue-toolkit/sqs',
  kind: 'peer',
  packages: ['@message-queue-toolkit/sqs', '@message-queue-toolkit/core', '@aws-sdk/client-sqs'],
  share: { publish: 0.25 },
  notes: {
    publish: 'gathers nothing, and sends no message attributes',
    storm: 'a delayed copy, then the delete of its source',
  },
  publisher,
  consumer,
};

const event = z.object({ id: z.string(), type: z.literal('order.place'), time: z.string(), data: orderSchema });
type OrderEvent = z.infer<typeof event>;

const fields = { messageTypeResolver: { messageTypePath: 'type' }, messageTimestampField: 'time' };

async function publisher({ descriptor, queue, sample }: Setting<SqsPlace>): Promise<Publisher> {
  const { AbstractSqsPublisher } = await import('@message-queue-toolkit/sqs');
  const client = await connect(descriptor);
  class Orders extends AbstractSqsPublisher<OrderEvent> {}
  const locatorConfig = { queueUrl: await urlOf(client, queue) };
  const orders = new Orders(dependenciesOf(client), { ...fields, locatorConfig, messageSchemas: [event] });
  await orders.init();
  return {
    publish: (order) => orders.publish(eventOf(sample, order) as unknown as OrderEvent),
    close: async () => {
      await orders.close();
      client.destroy();
    },
  };
}

async function consumer({ descriptor, queue, concurrency }: Setting<SqsPlace>, handle: Handle): Promise<Consumer> {
  const { AbstractSqsConsumer } = await import('@message-queue-toolkit/sqs');
  const { MessageHandlerConfigBuilder } = await import('@message-queue-toolkit/core');
  const client = await connect(descriptor);
  class Orders extends AbstractSqsConsumer<OrderEvent, undefined> {
    constructor(options: SQSConsumerOptions<OrderEvent, undefined, undefined>) {
      super(dependenciesOf(client), options, undefined);
    }
  }
  const onOrder = async ({ data }: OrderEvent): Promise<{ result: 'success' } | { error: 'retryLater' }> => {
    try {
      await handle(data);
      return { result: 'success' };
    } catch {
      return { error: 'retryLater' };
    }
  };
  const orders = new Orders({
    ...fields,
    locatorConfig: { queueUrl: await urlOf(client, queue) },
    handlers: new MessageHandlerConfigBuilder<OrderEvent, undefined>().addConfig(event, onOrder).build(),
    concurrentConsumersAmount: concurrency / BATCH,
    consumerOverrides: { batchSize: BATCH, waitTimeSeconds: POLL_SECONDS, pollingCompleteWaitTimeMs: 5_000 },
  });
  await orders.start();
  return {
    close: async () => {
      await orders.close();
      client.destroy();
    },
  };
}

function dependenciesOf(sqsClient: SQSClient): SQSConsumerDependencies {
  const quiet = (): void => undefined;
  const logger = { level: 'silent', msgPrefix: undefined, silent: quiet, trace: quiet, debug: quiet, info: quiet };
  return {
    sqsClient,
    logger: { ...logger, warn: quiet, error: quiet, fatal: quiet, child: () => logger, isLevelEnabled: () => false },
    errorReporter: { report: quiet },
    consumerErrorResolver: { processError: (error: unknown) => error },
    transactionObservabilityManager: { start: quiet, startWithGroup: quiet, stop: quiet, addCustomAttributes: quiet },
  } as unknown as SQSConsumerDependencies;
}
