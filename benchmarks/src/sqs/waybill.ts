import type { OrderBus } from '../bus.ts';
import type { Setting, Side } from '../side.ts';
import { POLL_SECONDS } from './client.ts';
import type { SqsPlace } from './sqs.ts';

export const side: Side<SqsPlace> = {
  name: 'waybill',
  kind: 'waybill',
  packages: ['@waybill/core', '@waybill/sqs', '@aws-sdk/client-sqs'],
  async publisher(setting) {
    const { bus, send } = await open(setting);
    return { publish: send, close: () => bus.close() };
  },
  async consumer(setting, handle) {
    const { bus, consume } = await open(setting);
    await consume(handle, setting);
    return { close: () => bus.close() };
  },
};

async function open({ descriptor, queue }: Setting<SqsPlace>): Promise<OrderBus> {
  const [{ sqs }, { orderBus }] = await Promise.all([import('@waybill/sqs'), import('../bus.ts')]);
  const { endpoint, region, credentials } = descriptor;
  return orderBus(sqs({ endpoint, region, credentials, topics: false, pollSeconds: POLL_SECONDS }), queue);
}
