import { inject, test } from 'vitest';

import {
  attachElasticmq,
  attachLocalemu,
  attachRabbitmq,
  type Elasticmq,
  givenSqs,
  type Localemu,
  type Rabbitmq,
  type ToxiproxyDescriptor,
} from '../src/index.ts';
import { setting } from '../src/setting.ts';

const containers = inject('containers');

/** False when `WAYBILL_RABBITMQ_URL` gives the broker. */
export const hasContainers: boolean = containers !== undefined;

/** A test that needs a container: left out where there are none. */
export const containerTest = hasContainers ? test : test.skip;

/** False when `WAYBILL_KAFKA_BROKERS` gives the Kafka: it would be taken for one that a test may break. */
export const hasKafkaContainers: boolean = hasContainers && setting('WAYBILL_KAFKA_BROKERS') === undefined;

/** A test that needs a Kafka of its own: left out where there is none. */
export const kafkaTest = hasKafkaContainers ? test : test.skip;

/** A test that needs a Redis of its own: left out when `WAYBILL_REDIS_URL` gives one. */
export const redisTest = hasContainers && setting('WAYBILL_REDIS_URL') === undefined ? test : test.skip;

/** False when `WAYBILL_SQS_REGION` or `WAYBILL_SQS_ENDPOINT` gives SQS. */
export const hasLocalemuContainers: boolean = hasContainers && givenSqs() === undefined;

/** A test that needs a LocalEmu of its own: left out where there is none. */
export const localemuTest = hasLocalemuContainers ? test : test.skip;

/**
 * The broker of the whole run. Other files use it at the same time: put faults into a proxy of your own, and start a
 * broker of your own for a fault of the broker.
 */
export function sharedRabbitmq(): Rabbitmq {
  return attachRabbitmq(inject('rabbitmq'));
}

/** The old broker of the whole run, for a {@link containerTest}. */
export function sharedOldRabbitmq(): Rabbitmq {
  return attachRabbitmq(present(containers).rabbitmqOld);
}

/** Two servers for SQS of the whole run: test files that use them have names of their own. */
export function sharedLocalemu(): Localemu {
  return attachLocalemu(present(containers).localemu);
}

export function sharedElasticmq(): Elasticmq {
  return attachElasticmq(present(containers).elasticmq);
}

/** Where a {@link containerTest} opens its proxies. */
export function sharedToxiproxy(): ToxiproxyDescriptor {
  return present(containers).toxiproxy;
}

function present<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error('This needs a container: make it a containerTest.');
  }
  return value;
}
