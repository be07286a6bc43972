// Messages of 1 KiB through a whole bus on the memory driver, publish to handled, and whether the heap stays as it is.
// `--messages N` (10,000,000 shows that nothing grows), `--ordered`, `--json FILE`.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createBus, defineEvent, defineQueue } from '@waybill/core';
import { memory } from '@waybill/memory';
import { z } from 'zod';

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '300000' },
    ordered: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const MESSAGES = Number(values.messages);
const IN_FLIGHT = 500;
const HEAP_SAMPLES = 20;

const Placed = defineEvent('order.placed', z.object({ number: z.number(), note: z.string() }), {
  topic: 'orders',
}).keyedBy((order) => `customer-${order.number % 500}`);
const billing = defineQueue('billing', values.ordered ? { handles: [Placed], ordered: true } : { handles: [Placed] });
const bus = createBus({ source: '/bench', driver: memory(), uses: [billing] });
const note = 'x'.repeat(680);
const { body } = await bus.prepare(Placed, { number: 1, note });

let handled = 0;
const heaps = [];
let finish;
const finished = new Promise((resolve) => {
  finish = resolve;
});
const sampleEvery = Math.ceil(MESSAGES / HEAP_SAMPLES);
await bus.consume(
  billing,
  {
    'order.placed': () => {
      handled += 1;
      if (handled % sampleEvery === 0) {
        globalThis.gc?.();
        heaps.push(Math.round(process.memoryUsage().heapUsed / 1024 / 1024));
      }
      if (handled === MESSAGES) finish();
    },
  },
  { concurrency: 100 },
);

const startedAt = performance.now();
let published = 0;
let open = 0;
const pump = () => {
  // What is stored and not yet handled counts too: else the broker, which is this process, grows.
  while (open < IN_FLIGHT && published - handled < 4 * IN_FLIGHT && published < MESSAGES) {
    open += 1;
    void bus.publish(Placed, { number: published, note }).then(stored);
    published += 1;
  }
  if (published < MESSAGES && open === 0) setImmediate(pump);
};
const stored = () => {
  open -= 1;
  pump();
};
pump();
await finished;
const seconds = (performance.now() - startedAt) / 1000;
await bus.close();

const rate = Math.round(MESSAGES / seconds);
const result = {
  messages: MESSAGES,
  bodyBytes: body.length,
  ordered: values.ordered,
  messagesPerSecond: rate,
  heapMiB: heaps,
  node: process.version,
};
console.log(
  `${MESSAGES} messages of ${body.length} bytes, ${values.ordered ? 'ordered by key' : 'concurrent'}: ${rate} a second, publish to handled`,
);
console.log(
  `  heap in use at every ${sampleEvery} messages, MiB: ${heaps.join(' ')}${globalThis.gc ? '' : ' (run node with --expose-gc to see it without garbage)'}`,
);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
