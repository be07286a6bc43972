import type { Side } from '../side.ts';
import { waybillSide } from '../waybill-side.ts';
import type { ServiceBusPlace } from './service-bus.ts';

export const side: Side<ServiceBusPlace> = waybillSide(
  ['@waybill/service-bus', '@azure/service-bus'],
  async (descriptor) => {
    const { serviceBus } = await import('@waybill/service-bus');
    return serviceBus(descriptor);
  },
);
