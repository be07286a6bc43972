// Consumes an ordered queue and tells which message it handled from when to when, by a clock that all processes share.
import { createBus, defineEvent, defineQueue } from '@waybill/core';
import { serviceBus } from '@waybill/service-bus';
import { z } from 'zod';

const { options, prefix, concurrency, busy } = JSON.parse(process.argv[2]);
const data = z.object({ key: z.string(), n: z.number() });
const stepped = defineEvent('step.taken', data, { topic: 'walks' }).keyedBy(({ key }) => key);
const steps = defineQueue('steps', { handles: [stepped], ordered: true });
const bus = createBus({ source: '/keys', driver: serviceBus(options), uses: [steps], prefix });
const now = () => Number(process.hrtime.bigint() / 1_000n);
let handled = [];

await bus.consume(
  steps,
  {
    'step.taken': async ({ key, n }) => {
      const began = now();
      if (key === busy.key) await new Promise((resolve) => setTimeout(resolve, busy.ms));
      handled.push({ key, n, began, ended: now() });
    },
  },
  { concurrency },
);
process.send({ ready: true });
setInterval(() => {
  if (handled.length > 0) process.send({ handled });
  handled = [];
}, 50);
