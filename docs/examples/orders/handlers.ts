import { setTimeout as sleep } from 'node:timers/promises';
import type { Handlers } from '@waybill/core';
import type { OrderPlaced } from './contracts.ts';

/** What the handlers do to the world outside; a real shop has a bank and a mail server here. */
export interface Shop {
  readonly charged: Map<string, string>;
  readonly mailed: Set<string>;
  /** The mail templates are complete. */
  fixed: boolean;
}

const TEMPLATES = new Set(['de', 'en', 'es', 'fr', 'nl']);

export const billingHandlers = (shop: Shop): Handlers<typeof OrderPlaced> => ({
  'order.placed': async (order, { attempt, signal }) => {
    // Delivered at least once: an order that comes twice is charged once.
    if (shop.charged.has(order.orderId)) return;
    await sleep(2, undefined, { signal });
    if (order.payment === 'slow-bank' && attempt <= 2) throw new Error('The bank does not answer.');
    shop.charged.set(order.orderId, `${order.totalCents / 100} ${order.currency}`);
  },
});

export const mailerHandlers = (shop: Shop): Handlers<typeof OrderPlaced> => ({
  'order.placed': async (order, { signal }) => {
    if (shop.mailed.has(order.orderId)) return;
    await sleep(10, undefined, { signal });
    if (!TEMPLATES.has(order.language) && !shop.fixed) {
      throw new Error(`There is no mail template for language "${order.language}".`);
    }
    shop.mailed.add(order.orderId);
  },
});
