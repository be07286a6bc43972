import { defineEvent, defineQueue } from '@waybill/core';
import { z } from 'zod';

export const OrderV1 = z.object({
  orderId: z.string(),
  customer: z.string(),
  email: z.email(),
  language: z.string(),
  payment: z.enum(['card', 'invoice', 'slow-bank']),
  totalCents: z.int().positive(),
});
export const OrderV2 = OrderV1.extend({ currency: z.string().length(3) });

/** Version 1 had no currency: everything was in euros. Handlers see version 2 only. */
export const OrderPlaced = defineEvent('order.placed', OrderV1, { topic: 'orders' })
  .evolve(OrderV2, (order) => ({ ...order, currency: 'EUR' }))
  .keyedBy((order) => order.customer);

/** A customer's orders are charged one after the other. */
export const billing = defineQueue('billing', { handles: [OrderPlaced], ordered: true });

/** Mails go out side by side, in any order. */
export const mailer = defineQueue('mailer', { handles: [OrderPlaced] });
