// What a user of this Node does first, on the built packages: publish and handle many messages on the memory driver. Fails
// when one is lost, or when memory grows with the number of messages. Run with --expose-gc.
import { strictEqual } from 'node:assert';

import { createBus, defineEvent, defineQueue } from '../packages/core/dist/index.js';
import { memory } from '../packages/memory/dist/index.js';

const ROUNDS = 4;
const MESSAGES = 20_000;
const MAY_GROW_BYTES = 8 * 1024 * 1024;

/** Any Standard Schema will do: this one takes everything. */
const anything = { '~standard': { version: 1, vendor: 'smoke', validate: (value) => ({ value }) } };
const Counted = defineEvent('smoke.counted', anything, { topic: 'smoke' });
const counter = defineQueue('counter', { handles: [Counted] });

const bus = createBus({ source: '/smoke', driver: memory(), uses: [Counted, counter] });
const seen = new Set();
let handledAll;
await bus.consume(counter, {
  'smoke.counted': ({ n }) => {
    seen.add(n);
    if (seen.size === MESSAGES) handledAll();
  },
});

const heaps = [];
for (let round = 0; round < ROUNDS; round += 1) {
  seen.clear();
  await publishAndHandle();
  strictEqual(seen.size, MESSAGES);
  global.gc();
  heaps.push(process.memoryUsage().heapUsed);
}
await bus.close();

// The first round fills caches and compiles.
const grown = heaps.at(-1) - heaps[1];
if (grown > MAY_GROW_BYTES) {
  throw new Error(`The heap grew by ${grown} bytes in ${ROUNDS - 2} rounds: ${heaps.join(', ')}.`);
}

async function publishAndHandle() {
  const handled = new Promise((resolve) => {
    handledAll = resolve;
  });
  await Promise.all(Array.from({ length: MESSAGES }, (_, n) => bus.publish(Counted, { n })));
  await handled;
}
