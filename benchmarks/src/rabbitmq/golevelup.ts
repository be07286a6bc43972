import type { AmqpConnection, RabbitMQConfig } from '@golevelup/nestjs-rabbitmq';
import type { INestApplicationContext } from '@nestjs/common';
import { encode } from '../envelope.ts';
import { orderSchema } from '../order.ts';
import type { Handle, Setting, Side } from '../side.ts';
import { propertiesOf } from './properties.ts';
import type { RabbitmqPlace } from './rabbitmq.ts';

export const side: Side<RabbitmqPlace> = {
  name: '@golevelup/nestjs-rabbitmq',
  kind: 'peer',
  packages: ['@golevelup/nestjs-rabbitmq', '@nestjs/core', 'amqp-connection-manager', 'amqplib'],
  unequalIn: { storm: 'requeued at once: it has no delay' },
  async publisher(setting) {
    const { application, connection } = await open(setting);
    const { contentType, headers, type } = propertiesOf(setting.sample);
    return {
      publish: async (order) => {
        const { id, body } = encode(setting.sample, order);
        const options = { contentType, headers, persistent: true, messageId: id, type, mandatory: true };
        // A text would be put in quotes, bytes go out as they are.
        await connection.publish('', setting.queue, Buffer.from(body), options);
      },
      close: () => application.close(),
    };
  },
  async consumer(setting, handle) {
    const { application } = await open(setting, handle);
    return { close: () => application.close() };
  },
};

interface Opened {
  readonly application: INestApplicationContext;
  readonly connection: AmqpConnection;
}

async function open({ descriptor, queue, concurrency }: Setting<RabbitmqPlace>, handle?: Handle): Promise<Opened> {
  await import('reflect-metadata');
  const { NestFactory } = await import('@nestjs/core');
  const { Module } = await import('@nestjs/common');
  const {
    AmqpConnection: Connection,
    MessageHandlerErrorBehavior,
    RabbitMQModule,
    RabbitSubscribe,
  } = await import('@golevelup/nestjs-rabbitmq');
  class Orders {
    async place(event: { readonly data: unknown }): Promise<void> {
      await handle?.(orderSchema.parse(event.data));
    }
  }
  const errorBehavior = MessageHandlerErrorBehavior.REQUEUE;
  decorate(Orders.prototype, 'place', RabbitSubscribe({ queue, createQueueIfNotExists: false, errorBehavior }));
  const config: RabbitMQConfig = {
    uri: descriptor.url,
    prefetchCount: concurrency,
    registerHandlers: handle !== undefined,
    connectionInitOptions: { wait: true, timeout: 10_000 },
    connectionManagerOptions: { connectionOptions: { noDelay: true } },
  };
  class Application {
    readonly name = 'orders';
  }
  Module({ imports: [RabbitMQModule.forRoot(config)], providers: [Orders] })(Application);
  const application = await NestFactory.createApplicationContext(Application, { logger: false });
  return { application, connection: application.get(Connection) };
}

/** Applies a decorator of a method: this repository's TypeScript has no syntax that must be compiled away. */
function decorate(prototype: object, name: string, decorator: MethodDecorator): void {
  decorator(prototype, name, Object.getOwnPropertyDescriptor(prototype, name) as PropertyDescriptor);
}
