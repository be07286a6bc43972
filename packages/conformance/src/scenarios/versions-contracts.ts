import { defineCommand, defineEvent, defineQueue } from '@waybill/core';
import { z } from 'zod';

const TOPIC = { topic: 'prices' } as const;
const MOST_CENTS = 1_000_000;

/** Version 1 as its producers know it; the price is text on the wire. */
export const PricedV1 = defineEvent(
  'conformance.priced',
  z.object({ sku: z.string(), price: z.string().regex(/^\d+$/).transform(Number) }),
  TOPIC,
);
export const PricedV2 = PricedV1.evolve(
  z.object({
    sku: z.string(),
    cents: z.number().max(MOST_CENTS),
    currency: z.string().transform((code) => code.toUpperCase()),
  }),
  ({ sku, price }) => ({ sku, cents: price * 100, currency: 'eur' }),
);
export const PricedV3 = PricedV2.evolve(
  z.object({
    sku: z.string(),
    amount: z.object({ cents: z.number(), currency: z.literal(['EUR', 'USD']) }),
    region: z.string().default('EU'),
  }),
  ({ sku, cents, currency }) => ({ sku, amount: { cents, currency: currency as 'EUR' } }),
);
/** Only newer processes know it. */
export const Reprice = defineCommand('conformance.reprice', z.object({ sku: z.string() }));
export const Withdrawn = defineEvent('conformance.withdrawn', z.object({ sku: z.string() }), TOPIC);
/** Of the same topic, for nobody here. */
export const Weighed = defineEvent('conformance.weighed', z.object({ sku: z.string() }), TOPIC);
/** Of a topic that does not exist before somebody creates it. */
const Promoted = defineEvent('conformance.promoted', z.object({ sku: z.string() }), { topic: 'promotions' });

/** One queue, as three releases of its consumer define it. */
export const pricesV1 = defineQueue('pricing', { handles: [PricedV1] });
export const pricesV2 = defineQueue('pricing', { handles: [PricedV2, Withdrawn, Reprice] });
export const pricesV3 = defineQueue('pricing', { handles: [PricedV3] });
export const pricesPromoted = defineQueue('pricing', { handles: [PricedV2, Withdrawn, Reprice, Promoted] });

const count = z.object({ entity: z.string(), sequence: z.number() });
export const CountedV1 = defineEvent('conformance.counted', count, { topic: 'counts' }).keyedBy(({ entity }) => entity);
export const CountedV2 = defineEvent('conformance.counted', count, { topic: 'counts' })
  .evolve(count, (older) => older)
  .keyedBy(({ entity }) => entity);
export const countsV1 = defineQueue('counters', { handles: [CountedV1], ordered: true });
export const countsV2 = defineQueue('counters', { handles: [CountedV2], ordered: true });
