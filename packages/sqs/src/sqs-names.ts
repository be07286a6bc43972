import type { Queue } from '@waybill/core/driver';

/** Names of SQS and SNS take no dots; Waybill's have no `_`, so no two become one. */
function plain(name: string): string {
  return name.replaceAll('.', '_');
}

/** `orders`, or `orders.fifo` when messages of it have keys. */
export function topicEntity(name: string, keyed: boolean): string {
  return keyed ? `${plain(name)}.fifo` : plain(name);
}

/** `billing`, or `billing.fifo` when it is ordered. */
export function workEntity({ name, ordered }: Pick<Queue, 'name' | 'ordered'>): string {
  return ordered ? `${plain(name)}.fifo` : plain(name);
}

/** `billing_dead`; the dead letters of a FIFO queue need a FIFO queue. */
export function deadEntity({ name, ordered }: Pick<Queue, 'name' | 'ordered'>): string {
  return ordered ? `${plain(name)}_dead.fifo` : `${plain(name)}_dead`;
}

/** `billing_delay`: never FIFO, because a FIFO queue delays no single message. */
export function delayEntity({ name }: Pick<Queue, 'name'>): string {
  return `${plain(name)}_delay`;
}

/** An entity in a sentence, with Waybill's name for it where that has dots: `"shop_billing" ("shop.billing")`. */
export function spoken(entity: string): string {
  const stem = entity.replace(/\.fifo$/, '');
  const hasDots = stem.replace(/_(dead|delay)$/, '').includes('_');
  return hasDots ? `"${entity}" ("${stem.replaceAll('_', '.')}")` : `"${entity}"`;
}
