import type { Side } from '../side.ts';
import { waybillSide } from '../waybill-side.ts';
import type { RabbitmqPlace } from './rabbitmq.ts';

export const side: Side<RabbitmqPlace> = waybillSide(['@waybill/rabbitmq', 'amqplib'], async ({ url }) => {
  const { rabbitmq } = await import('@waybill/rabbitmq');
  return rabbitmq({ url });
});
