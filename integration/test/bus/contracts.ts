import { defineCommand, defineEvent, defineQueue } from '@waybill/core';
import { z } from 'zod';

const numbered = z.object({ n: z.number(), text: z.string().optional() });
const keyed = z.object({ key: z.string(), n: z.number() });

export const Noted = defineEvent('note.taken', numbered, { topic: 'notes' });
export const Placed = defineEvent('order.placed', keyed, { topic: 'orders' }).keyedBy(({ key }) => key);
export const Paid = defineEvent('order.paid', keyed, { topic: 'payments' }).keyedBy(({ key }) => key);
export const Render = defineCommand('invoice.render', numbered);
export const Bytes = defineEvent('bytes.seen', z.instanceof(Uint8Array), { topic: 'bytes' });

/** Unordered, on a topic. */
export const notes = defineQueue('notes', { handles: [Noted] });
/** A second queue of the same topic: gets its own copy of everything. */
export const archive = defineQueue('archive', { handles: [Noted] });
/** Ordered by key, on two topics. */
export const ledger = defineQueue('ledger', { handles: [Placed, Paid], ordered: true });
/** Unordered, commands. */
export const invoices = defineQueue('invoices', { handles: [Render] });
/** Unordered, text and bytes. */
export const payloads = defineQueue('payloads', { handles: [Noted, Bytes] });
