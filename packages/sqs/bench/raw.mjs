// What the bus costs on SQS: publish and consume through it, with the AWS SDK alone and with sqs-consumer, on one ElasticMQ of its
// own that is 10 ms away, with the same bytes and the same validation, in interleaved rounds. Ends with exit code 1 if a floor
// is missed.
// node bench/raw.mjs [--messages 5000] [--rounds 3] [--only 'bus consume,…'] [--json FILE]
import { randomUUID } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import { writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { parseArgs } from 'node:util';
import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { createBus, defineCommand, defineQueue } from '@waybill/core';
import { sqs } from '@waybill/sqs';
import { Consumer } from 'sqs-consumer';
import { z } from 'zod';
// By its path: the package of the brokers needs this one, and not the other way round.
import { startElasticmq, startProxy, startToxiproxy } from '../../../integration/dist/index.js';

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '5000' },
    rounds: { type: 'string', default: '3' },
    /** Only these, by their names, to profile them; floors are not judged. */
    only: { type: 'string' },
    json: { type: 'string' },
  },
});
const MESSAGES = Math.min(Math.ceil(Number(values.messages) / 10) * 10, 100_000);
const ROUNDS = Math.min(Number(values.rounds), 20);
const IN_FLIGHT = 256;
const RAW_BATCHES_IN_FLIGHT = 8;
/** Consumers are measured from then on: a bus begins with one message at a time, until enough of them harmed nothing. */
const WARM_UP = 1_000;
/** Messages in hand, of the bus and of the loop. */
const CONCURRENCY = 100;
const ROUND_TRIP_MS = 10;
const LONGEST_MS = 120_000;
const BYTES = 1_024;

const only = values.only?.split(',');
const name = `bench-${process.pid}`;
const line = z.object({ sku: z.string(), name: z.string(), quantity: z.number(), price: z.number() });
const Order = z.object({ orderId: z.string(), customer: z.string(), note: z.string(), lines: z.array(line) });
const PlaceOrder = defineCommand('order.place', Order);
const busQueue = defineQueue(name, { handles: [PlaceOrder] });
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

const broker = await startElasticmq({ storage: 'memory', progress: console.error });
const toxiproxy = await startToxiproxy(console.error);
const proxy = await startProxy(toxiproxy.descriptor, broker.endpoint);
const { region, credentials } = broker;
const driver = sqs({ region, credentials, endpoint: proxy.url, topics: false });
const bus = createBus({ source: '/bench', driver, uses: [busQueue] });

// As its users have it, with connections enough.
const raw = new SQSClient({
  region,
  credentials,
  endpoint: proxy.url,
  useQueueUrlAsEndpoint: false,
  requestHandler: new NodeHttpHandler({ httpAgent: new Agent({ keepAlive: true, maxSockets: 100 }) }),
});
/** As the bus sends it, to be imitated. */
let sample;
let envelope;

async function takeSample() {
  const { QueueUrl } = await raw.send(new GetQueueUrlCommand({ QueueName: name }));
  await bus.send(busQueue, PlaceOrder, order);
  const { Messages } = await raw.send(
    new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5, MessageAttributeNames: ['All'] }),
  );
  [sample] = Messages;
  envelope = JSON.parse(sample.Body);
  const Entries = [{ Id: '0', ReceiptHandle: sample.ReceiptHandle }];
  await raw.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
}

/** All that this process asks of the server, receives that bring nothing included. */
let calls = 0;
subscribe('http.client.request.start', () => (calls += 1));

/** What the bus does with an order: validated, with an id and a time. */
function rawEntry(_, index) {
  const event = { ...envelope, id: randomUUID(), time: new Date().toISOString(), data: Order.parse(order) };
  return { Id: String(index), MessageBody: JSON.stringify(event), MessageAttributes: sample.MessageAttributes };
}

function rawHandle({ Body }) {
  const { data, ...attributes } = JSON.parse(Body);
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

function mark() {
  return { at: performance.now(), cpu: process.cpuUsage(), calls };
}

function resultSince(begun, count) {
  const seconds = (performance.now() - begun.at) / 1_000;
  const { user, system } = process.cpuUsage(begun.cpu);
  return { rate: count / seconds, cpu: (user + system) / count, calls: (calls - begun.calls) / count };
}

/** Resolves with what all messages but the first {@link WARM_UP} took, once `open` has given its `onMessage` all of them. */
async function measureMessages(open) {
  let handled = 0;
  let begun = mark();
  const { promise, resolve, reject } = withResolvers();
  const timer = setTimeout(() => reject(new Error(`only ${handled} of ${MESSAGES} messages came`)), LONGEST_MS);
  const onMessage = () => {
    handled += 1;
    if (handled === WARM_UP) begun = mark();
    if (handled === MESSAGES) resolve(resultSince(begun, MESSAGES - WARM_UP));
  };
  const close = await open(onMessage);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    await close();
  }
}

function withResolvers() {
  let resolve;
  let reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}

async function measureSends(work) {
  const begun = mark();
  await work();
  return resultSince(begun, MESSAGES);
}

const urls = {};
const sendTen = (side) =>
  raw
    .send(new SendMessageBatchCommand({ QueueUrl: urls[side], Entries: Array.from({ length: 10 }, rawEntry) }))
    .then(({ Failed }) => {
      if (Failed !== undefined && Failed.length > 0) throw new Error(`${Failed.length} of 10 failed`);
    });
const sendAll = (side) => pump(MESSAGES / 10, RAW_BATCHES_IN_FLIGHT, () => sendTen(side));

/** Ten receives are open all the time, and nothing waits for deletes: of tens as they are full, or what there is once it is idle. */
function refillLoop(onMessage) {
  let polls = 0;
  let isOpen = true;
  const done = [];
  const deleteSome = async (handles) => {
    const Entries = handles.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
    await raw.send(new DeleteMessageBatchCommand({ QueueUrl: urls.loop, Entries }));
  };
  const poll = async () => {
    const { Messages = [] } = await raw.send(
      new ReceiveMessageCommand({
        QueueUrl: urls.loop,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: 1,
        VisibilityTimeout: 30,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['All'],
      }),
    );
    polls -= 1;
    for (const message of Messages) {
      rawHandle(message);
      onMessage();
      done.push(message.ReceiptHandle);
    }
    while (done.length >= 10) void deleteSome(done.splice(0, 10));
    if (done.length > 0 && polls === 0) void deleteSome(done.splice(0));
    fill();
  };
  const fill = () => {
    while (isOpen && polls < CONCURRENCY / 10) {
      polls += 1;
      void poll();
    }
  };
  fill();
  return async () => {
    isOpen = false;
    while (polls > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    if (done.length > 0) await deleteSome(done.splice(0));
  };
}

/** As their page says for speed: batches of ten, several instances. */
function fourConsumers(onMessage) {
  const consumers = Array.from({ length: 4 }, () => {
    const consumer = Consumer.create({
      queueUrl: urls.consumer,
      sqs: raw,
      batchSize: 10,
      waitTimeSeconds: 1,
      // Or a receive that is open takes what is sent for the next round.
      pollingCompleteWaitTimeMs: 5_000,
      messageAttributeNames: ['All'],
      messageSystemAttributeNames: ['All'],
      handleMessageBatch: async (messages) => {
        for (const message of messages) {
          rawHandle(message);
          onMessage();
        }
        return messages;
      },
    });
    consumer.on('error', (error) => console.error(error.message));
    consumer.start();
    return consumer;
  });
  return () =>
    Promise.all(
      consumers.map(
        (consumer) =>
          new Promise((resolve) => {
            consumer.once('stopped', resolve);
            consumer.stop();
          }),
      ),
    );
}

const SENDS = {
  'bus send': () => measureSends(() => pump(MESSAGES, IN_FLIGHT, () => bus.send(busQueue, PlaceOrder, order))),
  'raw batches': () => measureSends(() => sendAll('loop')),
};
const CONSUMES = {
  'bus consume': () =>
    measureMessages(async (onMessage) => {
      const consumer = await bus.consume(busQueue, { 'order.place': onMessage }, { concurrency: CONCURRENCY });
      return () => consumer.close();
    }),
  'refill loop': () => measureMessages(refillLoop),
  'sqs-consumer x4': () => measureMessages(fourConsumers),
};

async function round(results, turn) {
  await sendAll('consumer');
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
    const cpu = median(all.map((each) => each.cpu)).toFixed(0);
    const asked = median(all.map((each) => each.calls)).toFixed(3);
    const numbers = `${String(median(rates)).padStart(6)} msg/s  ${cpu.padStart(5)} us CPU/msg  ${asked} calls/msg`;
    console.log(`${side.padEnd(16)} ${numbers}  (${rates.join(' ')})`);
  }
  if (only !== undefined) return [];
  const over = (side, other) => median(results[side].map(({ rate }, index) => rate / results[other][index].rate));
  const perCall = (side) => median(results[side].map((each) => 1 / each.calls));
  const floors = [
    ['send / raw batches, 8 in flight', over('bus send', 'raw batches'), 0.95],
    ['consume / refill loop', over('bus consume', 'refill loop'), 0.95],
    ['consume / four sqs-consumers', over('bus consume', 'sqs-consumer x4'), 1.8],
    ['messages a call, sent', perCall('bus send'), 1 / 0.25],
    ['messages a call, consumed', perCall('bus consume'), 1 / 0.25],
  ].map(([what, ratio, floor]) => ({ what, ratio, floor, ok: ratio >= floor }));
  console.log('Rates, medians of the rounds:');
  for (const { what, ratio, floor, ok } of floors) {
    console.log(`${what.padEnd(36)} ${ratio.toFixed(2)}x, at least ${floor.toFixed(2)}x: ${ok ? 'ok' : 'missed'}`);
  }
  return floors;
}

try {
  await bus.provision();
  await takeSample();
  order.note = 'x'.repeat(BYTES - sample.Body.length);
  await takeSample();
  for (const side of ['loop', 'consumer']) {
    const { QueueUrl } = await raw.send(new CreateQueueCommand({ QueueName: `${name}-${side}` }));
    urls[side] = QueueUrl;
  }
  await proxy.latency(ROUND_TRIP_MS / 2);
  const results = {};
  for (let turn = 0; turn <= ROUNDS; turn += 1) await round(results, turn);
  const floors = report(results);
  const numbers = { messages: MESSAGES, rounds: ROUNDS, bytes: BYTES, node: process.version, floors, results };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(numbers, undefined, 2)}\n`);
  if (floors.some(({ ok }) => !ok)) process.exitCode = 1;
} finally {
  await bus.close().catch(() => undefined);
  raw.destroy();
  await Promise.allSettled([broker.stop(), toxiproxy.stop()]);
}
