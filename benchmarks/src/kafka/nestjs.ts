import type { INestMicroservice } from '@nestjs/common';
import type { ClientKafka, KafkaOptions } from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { orderSchema } from '../order.ts';
import type { Consumer, Handle, Publisher, Setting, Side } from '../side.ts';
import { messageOf, PRODUCER } from './client.ts';
import { BY_OFFSET, type KafkaPlace, NO_RETRIES } from './kafka.ts';

/** Reads the event out of the JSON by itself, and writes a message that has a `value` as it is. */
export const side: Side<KafkaPlace> = {
  name: '@nestjs/microservices',
  kind: 'peer',
  packages: ['@nestjs/microservices', '@nestjs/core', 'kafkajs'],
  unequalIn: { consume: BY_OFFSET },
  absent: { storm: NO_RETRIES },
  share: { publish: 0.1 },
  publisher,
  consumer,
};

async function publisher({ descriptor, queue, sample }: Setting<KafkaPlace>): Promise<Publisher> {
  await import('reflect-metadata');
  const { ClientProxyFactory, Transport } = await import('@nestjs/microservices');
  const client = ClientProxyFactory.create({
    transport: Transport.KAFKA,
    options: { ...clientOf(descriptor), producer: PRODUCER, producerOnlyMode: true },
  }) as unknown as ClientKafka;
  await client.connect();
  return {
    publish: async (order) => {
      await firstValueFrom(client.emit(queue, messageOf(sample, order)), { defaultValue: undefined });
    },
    close: () => client.close(),
  };
}

async function consumer(setting: Setting<KafkaPlace>, handle: Handle): Promise<Consumer> {
  const application = await listen(setting, ({ data }) => handle(orderSchema.parse(data)));
  return { close: () => application.close() };
}

type OnEvent = (event: { readonly data: unknown }) => Promise<void>;

async function listen({ descriptor, queue }: Setting<KafkaPlace>, onEvent: OnEvent): Promise<INestMicroservice> {
  await import('reflect-metadata');
  const { NestFactory } = await import('@nestjs/core');
  const { Controller, Module } = await import('@nestjs/common');
  const { EventPattern, Payload, Transport } = await import('@nestjs/microservices');
  class Orders {
    async place(event: { readonly data: unknown }): Promise<void> {
      await onEvent(event);
    }
  }
  // As decorators: this repository's TypeScript has no syntax that must be compiled away.
  const place = Object.getOwnPropertyDescriptor(Orders.prototype, 'place') as PropertyDescriptor;
  EventPattern(queue)(Orders.prototype, 'place', place);
  Payload()(Orders.prototype, 'place', 0);
  Controller()(Orders);
  class Application {
    readonly name = 'orders';
  }
  Module({ controllers: [Orders] })(Application);
  const application = await NestFactory.createMicroservice(Application, {
    transport: Transport.KAFKA,
    options: {
      ...clientOf(descriptor),
      consumer: { groupId: queue },
      subscribe: { fromBeginning: true },
      run: { partitionsConsumedConcurrently: 6 },
    },
    logger: false,
  });
  await application.listen();
  return application;
}

function clientOf({ brokers }: KafkaPlace): NonNullable<KafkaOptions['options']> {
  return { client: { brokers: [...brokers], logCreator: () => () => undefined } };
}
