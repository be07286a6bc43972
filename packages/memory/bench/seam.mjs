// Messages per second through the seam alone: send in batches, receive, accept. `node seam.mjs [--json FILE]`, after a build.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { memory } from '../dist/index.js';

const MESSAGES = 500_000;
const BODY = new Uint8Array(100);
const { values } = parseArgs({ options: { json: { type: 'string' } } });
const never = new AbortController().signal;

function batches(queue, batchSize, keys) {
  const target = { queue: queue.name, lane: 'work' };
  return Array.from({ length: MESSAGES / batchSize }, (_batch, batch) =>
    Array.from({ length: batchSize }, (_message, index) => {
      const id = `m${batch * batchSize + index}`;
      const key = keys > 0 ? { key: `k${(batch * batchSize + index) % keys}` } : undefined;
      return { target, id, type: 'bench', contentType: 'application/octet-stream', body: BODY, headers: {}, ...key };
    }),
  );
}

async function measure({ batchSize, keys, deduplicationMs }) {
  const driver = memory({ deduplicationMs });
  const queue = { name: 'bench', ordered: keys > 0, bindings: [] };
  await driver.admin.apply({ topics: [], queues: [queue] }, never);
  const all = batches(queue, batchSize, keys);
  const subscription = await driver.subscribe(queue, 'work', { maxInFlight: 4_000, onLost() {} });
  const startedAt = performance.now();
  const consumed = consume(subscription);
  for (const batch of all) await driver.send(batch, never);
  await consumed;
  const seconds = (performance.now() - startedAt) / 1_000;
  await driver.close(Date.now());
  return Math.round(MESSAGES / seconds);
}

async function consume(subscription) {
  for (let done = 0; done < MESSAGES;) {
    const deliveries = await subscription.receive(1_000, never);
    await subscription.settle(deliveries.map((delivery) => ({ delivery, action: 'accept' })));
    done += deliveries.length;
  }
}

const cases = [
  { name: 'unordered, batches of 100', batchSize: 100, keys: 0, deduplicationMs: 0 },
  { name: 'unordered, batches of 1000', batchSize: 1_000, keys: 0, deduplicationMs: 0 },
  { name: 'ordered by 1000 keys, batches of 100', batchSize: 100, keys: 1_000, deduplicationMs: 0 },
  { name: 'unordered with deduplication, batches of 100', batchSize: 100, keys: 0, deduplicationMs: 500 },
];
const results = [];
for (const { name, ...options } of cases) {
  await measure(options);
  const messagesPerSecond = await measure(options);
  results.push({ name, messagesPerSecond });
  console.log(`${name}: ${messagesPerSecond.toLocaleString('en')} messages/s`);
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 2)}\n`);
