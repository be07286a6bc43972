import type { INestMicroservice } from '@nestjs/common';
import type { RmqContext, RmqOptions } from '@nestjs/microservices';
import type { Channel, Message } from 'amqplib';
import { firstValueFrom } from 'rxjs';
import { eventOf, type Sample } from '../envelope.ts';
import { type Order, orderSchema } from '../order.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { propertiesOf } from './properties.ts';
import type { RabbitmqPlace } from './rabbitmq.ts';

const PATTERN = 'order.place';

/** Its own envelope is replaced by one serializer on each side, so that it writes and reads the same bytes as all. */
export const side: Side<RabbitmqPlace> = {
  name: '@nestjs/microservices',
  kind: 'peer',
  packages: ['@nestjs/microservices', '@nestjs/core', 'amqp-connection-manager', 'amqplib'],
  notes: { consume: 'acknowledged by hand: noAck is its default' },
  unequalIn: { storm: 'requeued at once by hand: it has no retries, so no delay' },
  publisher,
  consumer,
};

async function publisher({ descriptor, queue, sample }: Setting<RabbitmqPlace>): Promise<Publisher> {
  await import('reflect-metadata');
  const { ClientProxyFactory, Transport } = await import('@nestjs/microservices');
  const serializer = { serialize: ({ data }: { data: Order }) => cloudEvent(sample, data) };
  const options = { ...connectionTo(descriptor.url, queue), persistent: true, serializer };
  const client = ClientProxyFactory.create({ transport: Transport.RMQ, options });
  await client.connect();
  return {
    publish: async (order) => {
      await firstValueFrom(client.emit(PATTERN, order), { defaultValue: undefined });
    },
    close: async () => {
      await client.close();
    },
  };
}

/** What Nest makes JSON of, and the options that it takes out of it before. */
function cloudEvent(sample: Sample, order: Order): Readonly<Record<string, unknown>> {
  const { contentType, headers, type } = propertiesOf(sample);
  const event = eventOf(sample, order);
  return { ...event, options: { contentType, headers, messageId: event.id, type, persistent: true, mandatory: true } };
}

async function consumer(setting: Setting<RabbitmqPlace>, handle: Handle): Promise<Consumer> {
  const application = await listen(setting, async (data, context) => {
    const message = context.getMessage() as unknown as Message;
    const channel = context.getChannelRef() as Channel;
    try {
      await handle(orderSchema.parse(data));
      channel.ack(message);
    } catch {
      channel.nack(message, false, true);
    }
  });
  return { close: () => application.close() };
}

type OnEvent = (data: unknown, context: RmqContext) => Promise<void>;

async function listen(
  { descriptor, queue, concurrency }: Setting<RabbitmqPlace>,
  onEvent: OnEvent,
): Promise<INestMicroservice> {
  await import('reflect-metadata');
  const { NestFactory } = await import('@nestjs/core');
  const { Controller, Module } = await import('@nestjs/common');
  const { Ctx, EventPattern, Payload, Transport } = await import('@nestjs/microservices');
  class Orders {
    async place(data: unknown, context: RmqContext): Promise<void> {
      await onEvent(data, context);
    }
  }
  // As decorators: this repository's TypeScript has no syntax that must be compiled away.
  const place = Object.getOwnPropertyDescriptor(Orders.prototype, 'place') as PropertyDescriptor;
  EventPattern(PATTERN)(Orders.prototype, 'place', place);
  Payload()(Orders.prototype, 'place', 0);
  Ctx()(Orders.prototype, 'place', 1);
  Controller()(Orders);
  class Application {
    readonly name = 'orders';
  }
  Module({ controllers: [Orders] })(Application);
  const deserializer = { deserialize: (event: { data: unknown }) => ({ pattern: PATTERN, data: event.data }) };
  const options = { ...connectionTo(descriptor.url, queue), noAck: false, prefetchCount: concurrency, deserializer };
  const application = await NestFactory.createMicroservice(Application, {
    transport: Transport.RMQ,
    options,
    logger: false,
  });
  await application.listen();
  return application;
}

function connectionTo(url: string, queue: string): NonNullable<RmqOptions['options']> {
  return { urls: [url], queue, noAssert: true, socketOptions: { connectionOptions: { noDelay: true } } };
}
