// What the bus costs on Kafka: publish and consume through it and with kafkajs alone, on one node of its own, with the same
// bytes and the same validation, in interleaved rounds. Ends with exit code 1 if a floor is missed.
// node bench/raw.mjs [--brokers HOST:PORT] [--messages 20000] [--rounds 5] [--json FILE]
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createBus, defineEvent, defineQueue } from '@waybill/core';
import { kafka } from '@waybill/kafka';
import kafkajs from 'kafkajs';
import { z } from 'zod';
// By its path: the package of the brokers needs this one, and not the other way round.
import { startKafka } from '../../../integration/dist/index.js';

const { values } = parseArgs({
  options: {
    brokers: { type: 'string' },
    messages: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '5' },
    /** Only these, by their names, to profile them; floors are not judged. */
    only: { type: 'string' },
    json: { type: 'string' },
  },
});
const MESSAGES = Math.min(Number(values.messages), 200_000);
const ROUNDS = Math.min(Number(values.rounds), 20);
const IN_FLIGHT = 256;
const RAW_BATCH = 100;
const RAW_SINGLES_IN_FLIGHT = 64;
const SINGLES = Math.ceil(MESSAGES / 10);
const AWAITED = 500;
const COMMITTED_EACH = 500;
/** Consumers are measured from then on: a bus begins with one message at a time, until enough of them harmed nothing. */
const WARM_UP = 1_000;
/** Four messages a handler may be in hand, and so as many as a batch of `eachBatch` has: 1 MiB. */
const CONCURRENCY = 250;
const PARTITIONS = 6;
const LONGEST_MS = 60_000;
const BYTES = 1_024;

const only = values.only?.split(',');
const name = `bench-${process.pid}`;
const line = z.object({ sku: z.string(), name: z.string(), quantity: z.number(), price: z.number() });
const Order = z.object({ orderId: z.string(), customer: z.string(), note: z.string(), lines: z.array(line) });
const OrderPlaced = defineEvent('order.placed', Order, { topic: `${name}.orders` });
const billing = defineQueue(name, { handles: [OrderPlaced] });
const topic = `${name}.orders`;
const order = {
  orderId: '0191c2b4-7a54-7cc1-9a63-8b6d4f3a2e10',
  customer: 'customer-4711',
  note: '',
  lines: Array.from({ length: 3 }, (_, index) => ({
    sku: `sku-${index}-0123456789`,
    name: 'a product with a name',
    quantity: index,
    price: 9.5,
  })),
};

const broker = values.brokers === undefined ? await startKafka({ progress: console.error }) : undefined;
const brokers = values.brokers?.split(',') ?? [...broker.brokers];
const bus = createBus({
  source: '/bench',
  driver: kafka({ brokers, partitions: PARTITIONS }),
  uses: [OrderPlaced, billing],
});
order.note = 'x'.repeat(BYTES - (await bus.prepare(OrderPlaced, order)).body.length);
const sample = await bus.prepare(OrderPlaced, order);
const envelope = JSON.parse(Buffer.from(sample.body).toString());

// As its users have it.
const raw = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING });
const admin = raw.admin();
const producer = raw.producer({ idempotent: true, createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
const headers = { 'content-type': sample.contentType };

/** What the bus does with an order: validated, with an id and a time. */
function rawMessage() {
  const event = { ...envelope, id: randomUUID(), time: new Date().toISOString(), data: Order.parse(order) };
  return { value: Buffer.from(JSON.stringify(event)), headers };
}

function rawHandle({ value }) {
  const { data, ...attributes } = JSON.parse(value.toString());
  return { data: Order.parse(data), attributes };
}

/** Calls `work` `count` times, with at most `inFlight` open. */
async function pump(count, inFlight, work) {
  let left = count;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await work();
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}

/** Resolves with the rate and the CPU of all messages but the first `warmUp`, and with what `open` resolved with. */
async function measureMessages(count, warmUp, open) {
  let handled = 0;
  let begun = 0;
  let cpu;
  let timer;
  let opened;
  const result = await new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`only ${handled} of ${count} messages came`)), LONGEST_MS);
    const onMessage = () => {
      handled += 1;
      if (handled === warmUp) {
        begun = performance.now();
        cpu = process.cpuUsage();
      }
      if (handled === count) resolve(resultOf(count - warmUp, begun, cpu));
    };
    opened = open(onMessage);
    opened.catch(reject);
  });
  clearTimeout(timer);
  return opened.then((consumer) => ({ result, opened: consumer }));
}

function resultOf(count, begun, cpu) {
  const seconds = (performance.now() - begun) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { rate: count / seconds, cpu: (user + system) / count };
}

async function measureSends(count, work) {
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await work();
  stored += count;
  return resultOf(count, begun, cpu);
}

async function busConsume(count) {
  const { result, opened } = await measureMessages(count, WARM_UP, (onMessage) =>
    bus.consume(billing, { 'order.placed': onMessage }, { concurrency: CONCURRENCY }),
  );
  await opened.close();
  return result;
}

/** From where this round's messages begin. */
async function rawConsumer({ count, warmUp }, run) {
  const groupId = `${name}-${randomUUID()}`;
  await admin.setOffsets({ groupId, topic, partitions: beginnings });
  const consumer = raw.consumer({ groupId });
  const { result } = await measureMessages(count, warmUp, async (onMessage) => {
    await consumer.connect();
    await consumer.subscribe({ topic });
    await consumer.run(run(consumer, onMessage));
  });
  await consumer.disconnect();
  return result;
}

const eachBatch = (_, onMessage) => ({
  eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
    for (const message of batch.messages) {
      rawHandle(message);
      onMessage();
      resolveOffset(message.offset);
    }
    await heartbeat();
  },
});

const commitEach = (consumer, onMessage) => ({
  autoCommit: false,
  eachMessage: async ({ partition, message }) => {
    rawHandle(message);
    await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }]);
    onMessage();
  },
});

/** What was published since {@link beginnings}. */
let stored = 0;
let beginnings = [];
const send = (count) => producer.send({ topic, acks: -1, messages: Array.from({ length: count }, rawMessage) });
const busPublish = () => bus.publish(OrderPlaced, order);
const batchesInFlight = Math.ceil(IN_FLIGHT / RAW_BATCH);
const SENDS = {
  'bus publish': () => measureSends(MESSAGES, () => pump(MESSAGES, IN_FLIGHT, busPublish)),
  'raw batches': () =>
    measureSends(MESSAGES, () => pump(Math.floor(MESSAGES / RAW_BATCH), batchesInFlight, () => send(RAW_BATCH))),
  'raw singles': () => measureSends(SINGLES, () => pump(SINGLES, RAW_SINGLES_IN_FLIGHT, () => send(1))),
  'bus awaited': () => measureSends(AWAITED, () => pump(AWAITED, 1, busPublish)),
  'raw awaited': () => measureSends(AWAITED, () => pump(AWAITED, 1, () => send(1))),
};
const CONSUMES = {
  'bus consume': () => busConsume(stored),
  'raw eachBatch': () => rawConsumer({ count: stored, warmUp: WARM_UP }, eachBatch),
  'raw commit each': () => rawConsumer({ count: Math.min(COMMITTED_EACH, stored), warmUp: 1 }, commitEach),
};

async function round(results, turn) {
  stored = 0;
  beginnings = (await admin.fetchTopicOffsets(topic)).map(({ partition, offset }) => ({ partition, offset }));
  for (const runs of [SENDS, CONSUMES]) {
    const chosen = Object.entries(runs).filter(([side]) => only?.includes(side) ?? true);
    for (const [side, run] of turn % 2 === 0 ? chosen : chosen.toReversed()) {
      globalThis.gc?.();
      const result = await run();
      // The first round warms up.
      if (turn > 0) (results[side] ??= []).push(result);
    }
  }
}

const median = (numbers) => numbers.toSorted((left, right) => left - right)[Math.floor(numbers.length / 2)];

function report(results) {
  for (const [side, all] of Object.entries(results)) {
    const rates = all.map(({ rate }) => Math.round(rate));
    const cpu = median(all.map((each) => each.cpu)).toFixed(1);
    console.log(
      `${side.padEnd(16)} ${String(median(rates)).padStart(7)} msg/s  ${cpu.padStart(6)} us CPU/msg  (${rates.join(' ')})`,
    );
  }
  if (only !== undefined) return [];
  const over = (side, other) => median(results[side].map(({ rate }, index) => rate / results[other][index].rate));
  const floors = [
    ['publish / raw send of 100', over('bus publish', 'raw batches'), 0.8],
    ['publish / raw single sends', over('bus publish', 'raw singles'), 4],
    ['awaited publish / raw', over('bus awaited', 'raw awaited'), 1 / 1.2],
    ['consume / raw eachBatch', over('bus consume', 'raw eachBatch'), 0.7],
    ['consume / raw commit each', over('bus consume', 'raw commit each'), 20],
  ].map(([what, ratio, floor]) => ({ what, ratio, floor, ok: ratio >= floor }));
  console.log('Rates, medians of the rounds:');
  for (const { what, ratio, floor, ok } of floors) {
    console.log(`${what.padEnd(28)} ${ratio.toFixed(2)}x, at least ${floor.toFixed(2)}x: ${ok ? 'ok' : 'missed'}`);
  }
  return floors;
}

try {
  await bus.provision();
  await Promise.all([admin.connect(), producer.connect()]);
  const results = {};
  for (let turn = 0; turn <= ROUNDS; turn += 1) await round(results, turn);
  const floors = report(results);
  const numbers = { messages: MESSAGES, rounds: ROUNDS, bytes: BYTES, node: process.version, floors, results };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(numbers, undefined, 2)}\n`);
  if (floors.some(({ ok }) => !ok)) process.exitCode = 1;
} finally {
  await Promise.allSettled([bus.close(), producer.disconnect(), admin.disconnect()]);
  await broker?.stop();
}
