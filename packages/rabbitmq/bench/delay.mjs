// How late delayed messages come on an idle queue, and a burst of them. node bench/delay.mjs [--url amqp://…] [--json FILE]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { rabbitmq } from '@waybill/rabbitmq';

const { values } = parseArgs({ options: { url: { type: 'string' }, json: { type: 'string' } } });
const url = values.url ?? process.env.WAYBILL_RABBITMQ_URL ?? 'amqp://guest:guest@127.0.0.1:5672';
const DELAYS = [50, 100, 200, 500, 1_000, 1_137, 2_500, 5_000];
const ROUNDS = 5;
const BURST = 5_000;

const driver = rabbitmq({ url });
const queue = { name: `bench-delay-${process.pid}`, ordered: false, bindings: [] };
const never = new AbortController().signal;
await driver.admin.apply({ topics: [], queues: [queue] }, never);
const subscription = await driver.subscribe(queue, 'work', { maxInFlight: 2_000, onLost: () => undefined });

const delayed = (id, notBefore) => ({
  target: { queue: queue.name, lane: 'work' },
  id,
  type: 'bench',
  contentType: 'text/plain',
  body: new Uint8Array(100),
  headers: {},
  notBefore,
});

/** Lateness in ms of `count` messages, by their `notBefore`. */
async function lateness(due) {
  const late = [];
  while (late.length < due.size) {
    const deliveries = await subscription.receive(1_000, never);
    const now = Date.now();
    for (const { position } of deliveries) late.push(now - due.get(position));
    await subscription.settle(deliveries.map((delivery) => ({ delivery, action: 'accept' })));
  }
  return late.toSorted((left, right) => left - right);
}

const idle = {};
for (const delayMs of DELAYS) {
  const late = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const notBefore = Date.now() + delayMs;
    await driver.send([delayed(`d${delayMs}-${round}`, notBefore)], never);
    late.push(...(await lateness(new Map([[`d${delayMs}-${round}`, notBefore]]))));
  }
  idle[delayMs] = { least: Math.min(...late), most: Math.max(...late) };
  console.log(`${String(delayMs).padStart(6)} ms  ${idle[delayMs].least} to ${idle[delayMs].most} ms late`);
}

const notBefore = Date.now() + 3_000;
const due = new Map(Array.from({ length: BURST }, (_, index) => [`b${index}`, notBefore]));
const ids = [...due.keys()];
for (let start = 0; start < BURST; start += 500) {
  await driver.send(
    ids.slice(start, start + 500).map((id) => delayed(id, notBefore)),
    never,
  );
}
const late = await lateness(due);
const burst = { least: late[0], median: late[late.length >> 1], most: late.at(-1) };
console.log(`burst of ${BURST} due at once: ${burst.least} to ${burst.most} ms late, ${burst.median} at the median`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ idle, burst }, undefined, 2)}\n`);

await subscription.close(Date.now() + 2_000);
const channel = await (await driver.connection()).createChannel();
await channel.deleteQueue(queue.name);
await channel.deleteQueue(`${queue.name}.dead`);
await driver.close(Date.now() + 2_000);
