import type { Driver } from '@waybill/core/driver';
import type { OrderBus } from './bus.ts';
import type { Setting, Side } from './side.ts';

/** Waybill's side where orders are commands of one queue. `connect` imports the driver. */
export function waybillSide<D>(packages: readonly string[], connect: (descriptor: D) => Promise<Driver>): Side<D> {
  const open = async ({ descriptor, queue }: Setting<D>): Promise<OrderBus> => {
    const [driver, { orderBus }] = await Promise.all([connect(descriptor), import('./bus.ts')]);
    return orderBus(driver, queue);
  };
  return {
    name: 'waybill',
    kind: 'waybill',
    packages: ['@waybill/core', ...packages],
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
}
