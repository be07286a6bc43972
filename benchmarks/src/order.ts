import { z } from 'zod';

const line = z.object({ sku: z.string(), name: z.string(), quantity: z.number(), price: z.number() });
const shape = z.object({
  orderId: z.string(),
  customer: z.string(),
  note: z.string(),
  /** Names the message within its run. */
  sequence: z.number(),
  /** When it was handed to the publisher, by `performance.now()`; 0 where nobody asks. */
  sentAt: z.number(),
  lines: z.array(line),
});

export type Order = z.infer<typeof shape>;

/** What every side validates by, on its way out and in. */
export const orderSchema: z.ZodType<Order, Order> = shape;

/** Sequences begin here, so that all have as many digits. */
export const FIRST_SEQUENCE = 1_000_000;

/** Makes orders whose JSON has `bytes` bytes while `sentAt` is 0. */
export function orderMaker(bytes: number): (sequence: number, sentAt?: number) => Order {
  const lines = Array.from({ length: bytes < 1_024 ? 1 : 3 }, (_, index) => ({
    sku: `sku-${index}`,
    name: 'a product',
    quantity: index,
    price: 9.5,
  }));
  const orderId = '0191c2b4-7a54-7cc1-9a63-8b6d4f3a2e10';
  const make = (note: string, sequence: number, sentAt: number): Order => ({
    orderId,
    customer: 'customer-4711',
    note,
    sequence,
    sentAt,
    lines,
  });
  const note = 'x'.repeat(bytes - JSON.stringify(make('', FIRST_SEQUENCE, 0)).length);
  return (sequence, sentAt = 0) => make(note, sequence, sentAt);
}
