import type { Admin, Driver, Page, Queue } from '@waybill/core/driver';
import type { Kafka as KafkaJs } from 'kafkajs';
import { checkOptions, type KafkaOptions } from './kafka-options.ts';

export interface KafkaDriver extends Driver {
  readonly admin: Admin;
  browse(queue: Queue, after: string | undefined, max: number): Promise<Page>;
  /** The kafkajs client, for what Waybill has no word for. */
  readonly client: KafkaJs;
}

/** Connects nowhere yet; throws INVALID_ARGUMENT listing every problem of the options. */
export function kafka(options: KafkaOptions): KafkaDriver {
  checkOptions(options);
  throw new Error('not there yet');
}
