import type { AmqpConnectionManager, AMQPConsumerDependencies } from '@message-queue-toolkit/amqp';
import { z } from 'zod';
import { eventOf } from '../envelope.ts';
import { orderSchema } from '../order.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { propertiesOf } from './properties.ts';
import type { RabbitmqPlace } from './rabbitmq.ts';

const unconfirmed = 'nothing is confirmed: publish returns once the bytes are in a buffer of this process';

export const side: Side<RabbitmqPlace> = {
  name: '@message-queue-toolkit/amqp',
  kind: 'peer',
  packages: ['@message-queue-toolkit/amqp', '@message-queue-toolkit/core', 'amqplib'],
  unequalIn: {
    publish: unconfirmed,
    'awaited-256': unconfirmed,
    'awaited-4096': unconfirmed,
    'awaited-65536': unconfirmed,
    latency: unconfirmed,
    storm: 'requeued at once: it has no delay',
  },
  notes: { consume: 'its prefetch, else unlimited, set by a subclass' },
  publisher,
  consumer,
};

const event = z.object({ id: z.string(), type: z.literal('order.place'), time: z.string(), data: orderSchema });
type OrderEvent = z.infer<typeof event>;

const fields = { messageTypeResolver: { messageTypePath: 'type' }, messageTimestampField: 'time' };

async function publisher({ descriptor, queue, sample }: Setting<RabbitmqPlace>): Promise<Publisher> {
  const { AbstractAmqpQueuePublisher } = await import('@message-queue-toolkit/amqp');
  const { connections, dependencies } = await connect(descriptor.url);
  class Orders extends AbstractAmqpQueuePublisher<OrderEvent> {}
  const options = { ...fields, locatorConfig: { queueName: queue }, messageSchemas: [event] };
  const orders = new Orders(dependencies, options);
  await orders.init();
  const { contentType, headers, type } = propertiesOf(sample);
  return {
    publish: async (order) => {
      const message = eventOf(sample, order) as unknown as OrderEvent;
      const publishOptions = { contentType, headers, persistent: true, messageId: message.id, type, mandatory: true };
      orders.publish(message, { publishOptions });
    },
    close: async () => {
      await orders.close();
      await connections.close();
    },
  };
}

async function consumer({ descriptor, queue, concurrency }: Setting<RabbitmqPlace>, handle: Handle): Promise<Consumer> {
  const { AbstractAmqpQueueConsumer } = await import('@message-queue-toolkit/amqp');
  const { MessageHandlerConfigBuilder } = await import('@message-queue-toolkit/core');
  const { connections, dependencies } = await connect(descriptor.url);
  class Orders extends AbstractAmqpQueueConsumer<OrderEvent, undefined> {
    /** It is called between the opening of the channel and the first message. */
    protected override async createMissingEntities(): Promise<void> {
      await super.createMissingEntities();
      await this.channel.prefetch(concurrency);
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
  const handlers = new MessageHandlerConfigBuilder<OrderEvent, undefined>().addConfig(event, onOrder).build();
  const orders = new Orders(dependencies, { ...fields, locatorConfig: { queueName: queue }, handlers }, undefined);
  await orders.start();
  return {
    close: async () => {
      await orders.close();
      await connections.close();
    },
  };
}

interface Connected {
  readonly connections: AmqpConnectionManager;
  readonly dependencies: AMQPConsumerDependencies;
}

async function connect(url: string): Promise<Connected> {
  const { AmqpConnectionManager: Connections } = await import('@message-queue-toolkit/amqp');
  const { hostname, port, username, password } = new URL(url);
  const quiet = (): void => undefined;
  const logger = { level: 'silent', msgPrefix: undefined, silent: quiet, trace: quiet, debug: quiet, info: quiet };
  const dependencies = { logger: { ...logger, warn: quiet, error: quiet, fatal: quiet, child: () => logger } };
  const config = { hostname, port: Number(port), username, password, vhost: '', useTls: false };
  const connections = new Connections(config, dependencies.logger as never);
  await connections.init();
  return {
    connections,
    dependencies: {
      ...dependencies,
      amqpConnectionManager: connections,
      errorReporter: { report: quiet },
      consumerErrorResolver: { processError: (error: unknown) => error },
      transactionObservabilityManager: { start: quiet, startWithGroup: quiet, stop: quiet, addCustomAttributes: quiet },
    } as unknown as AMQPConsumerDependencies,
  };
}
