import { randomUUID } from 'node:crypto';
import { type Order, orderSchema } from './order.ts';

/** A message as Waybill puts it on the wire, for the others to imitate: its attributes without `data`, and what is around it. */
export interface Sample {
  readonly envelope: Readonly<Record<string, unknown>>;
  /** Headers and properties, in the terms of the broker's own client; plain data. */
  readonly properties: Readonly<Record<string, unknown>>;
}

/** The work that Waybill does on an order by itself, done by hand: validated, with an id and a time of its own. */
export function encode(sample: Sample, order: Order): { readonly id: string; readonly body: string } {
  const event = eventOf(sample, order);
  return { id: event.id, body: JSON.stringify(event) };
}

/** As {@link encode}, for libraries that make the JSON themselves. */
export function eventOf(
  { envelope }: Sample,
  order: Order,
): Readonly<Record<string, unknown>> & { readonly id: string } {
  return { ...envelope, id: randomUUID(), time: new Date().toISOString(), data: orderSchema.parse(order) };
}

/** Reads the order out of a message and validates it. */
export function decode(body: string): Order {
  const event = JSON.parse(body) as { readonly data: unknown };
  return orderSchema.parse(event.data);
}
