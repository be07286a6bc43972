// What the core adds to one message beyond JSON: publish and consume against a driver that does nothing, each in a process
// of its own, in interleaved rounds with the bare JSON work. Prints microseconds a message; `--json FILE` writes the numbers.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createBus, defineEvent, defineQueue } from '@waybill/core';
import { z } from 'zod';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    side: { type: 'string' },
    messages: { type: 'string', default: '40000' },
    rounds: { type: 'string', default: '9' },
  },
});
const MESSAGES = Number(values.messages);
const ROUNDS = Number(values.rounds);
const IN_FLIGHT = 256;

const line = z.object({ sku: z.string(), name: z.string(), quantity: z.number(), price: z.number() });
const Order = z.object({ orderId: z.string(), customer: z.string(), note: z.string(), lines: z.array(line) });
const OrderPlaced = defineEvent('order.placed', Order, { topic: 'orders' });
const billing = defineQueue('billing', { handles: [OrderPlaced] });
const order = {
  orderId: '0191c2b4-7a54-7cc1-9a63-8b6d4f3a2e10',
  customer: 'customer-4711',
  note: 'x'.repeat(370),
  lines: Array.from({ length: 3 }, (_, index) => ({
    sku: `sku-${index}-0123456789`,
    name: 'a product with a name',
    quantity: index,
    price: 9.5,
  })),
};

const LIMIT = { count: 500, bytes: 4_000_000, concurrency: 2, everyMs: 0 };
const capabilities = {
  ordering: 'key',
  filtersTypes: true,
  reject: 'annotated',
  envelope: 'structured',
  maxDelayMs: 1e9,
  delayErrorMs: 0,
  maxHoldMs: 1e9,
  maxMessageBytes: 1 << 24,
  maxDeliveries: 100,
};

/** Stores nothing and hands out what it was given: everything that is measured is the core's. */
function nothingDriver(supply) {
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return {
    spec: 1,
    name: 'nothing',
    capabilities,
    limits: { send: LIMIT, receive: LIMIT, settle: LIMIT },
    send: turn,
    subscribe: async () => ({
      async receive(max, signal) {
        const deliveries = supply?.(max);
        if (deliveries !== undefined) return deliveries;
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve([]), { once: true }));
      },
      settle: async () => undefined,
      extend: async (deliveries) => deliveries.map(() => Number.POSITIVE_INFINITY),
      resize: async () => undefined,
      close: async () => undefined,
    }),
    verify: async () => [],
    close: async () => undefined,
  };
}

const measure = async (work) => {
  const cpu = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return (user + system) / MESSAGES;
};

async function publishJson() {
  const event = {
    specversion: '1.0',
    id: 'x'.repeat(36),
    source: '/bench',
    type: 'order.placed',
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    dataschema: 'urn:waybill:order.placed:1',
    dataversion: 1,
    correlationid: 'x'.repeat(36),
    data: order,
  };
  let bytes = 0;
  for (let index = 0; index < MESSAGES; index += 1) bytes += Buffer.from(JSON.stringify(event)).length;
  return bytes;
}

async function publishCore() {
  const bus = createBus({ source: '/bench', driver: nothingDriver(), uses: [OrderPlaced] });
  let left = MESSAGES;
  await new Promise((resolve, reject) => {
    let open = 0;
    const next = () => {
      while (open < IN_FLIGHT && left > 0) {
        left -= 1;
        open += 1;
        bus.publish(OrderPlaced, order).then(done, reject);
      }
      if (open === 0) resolve();
    };
    const done = () => {
      open -= 1;
      next();
    };
    next();
  });
  await bus.close();
}

const sample = await createBus({ source: '/bench', driver: nothingDriver(), uses: [OrderPlaced] }).prepare(
  OrderPlaced,
  order,
);

async function consumeJson() {
  let bytes = 0;
  for (let index = 0; index < MESSAGES; index += 1) bytes += JSON.parse(sample.body.toString()).data.lines.length;
  return bytes;
}

async function consumeCore(handler) {
  let given = 0;
  let handled = 0;
  const supply = (max) => {
    if (given >= MESSAGES) return undefined;
    const count = Math.min(max, MESSAGES - given);
    const deliveries = [];
    for (let index = 0; index < count; index += 1) {
      given += 1;
      deliveries.push({
        contentType: sample.contentType,
        body: sample.body,
        headers: {},
        deliveries: 1,
        leaseUntil: Number.POSITIVE_INFINITY,
        position: String(given),
        raw: undefined,
      });
    }
    return deliveries;
  };
  const bus = createBus({ source: '/bench', driver: nothingDriver(supply), uses: [billing] });
  await new Promise((resolve) => {
    const count = () => {
      handled += 1;
      if (handled === MESSAGES) resolve();
    };
    void bus.consume(billing, { 'order.placed': handler(count) });
  });
  await bus.close();
}

const asynchronous = (count) => async () => count();
const SIDES = {
  publish: { json: publishJson, core: publishCore },
  consume: { json: consumeJson, core: () => consumeCore(asynchronous) },
};
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Rounds of one side, in this process. The first two warm up. */
async function measureSide(side) {
  const rounds = { json: [], core: [] };
  for (let round = -2; round < ROUNDS; round += 1) {
    for (const [name, work] of Object.entries(SIDES[side])) {
      const perMessage = await measure(work);
      if (round >= 0) rounds[name].push(perMessage);
    }
  }
  const added = median(rounds.core.map((value, index) => value - rounds.json[index]));
  return { json: median(rounds.json), core: median(rounds.core), added };
}

if (values.side === undefined) {
  const options = ['--messages', values.messages, '--rounds', values.rounds];
  const microseconds = {};
  for (const side of Object.keys(SIDES)) {
    const output = execFileSync(process.execPath, [import.meta.filename, '--side', side, ...options]);
    microseconds[side] = JSON.parse(output.toString());
  }
  const result = {
    bodyBytes: sample.body.length,
    messages: MESSAGES,
    rounds: ROUNDS,
    node: process.version,
    microseconds,
  };
  console.log(`CPU microseconds a message of ${result.bodyBytes} bytes, median of ${ROUNDS} rounds of ${MESSAGES}:`);
  for (const [side, { json, core, added }] of Object.entries(microseconds)) {
    const [alone, whole, more] = [json, core, added].map((value) => value.toFixed(1).padStart(5));
    console.log(`  ${side.padEnd(8)} JSON alone ${alone}   with Waybill ${whole}   added ${more}`);
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
} else {
  console.log(JSON.stringify(await measureSide(values.side)));
}
