// What the seam costs: publish and consume through the driver and with amqplib alone, interleaved, with equal flags.
// node bench/raw.mjs [--url amqp://guest:guest@127.0.0.1:5672] [--json FILE]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { connect } from 'amqplib';
import { rabbitmq } from '@waybill/rabbitmq';

const { values } = parseArgs({ options: { url: { type: 'string' }, json: { type: 'string' } } });
const url = values.url ?? process.env.WAYBILL_RABBITMQ_URL ?? 'amqp://guest:guest@127.0.0.1:5672';
const count = Number(process.env.COUNT ?? 15_000);
const rounds = Number(process.env.ROUNDS ?? 9);
const window = Number(process.env.WINDOW ?? 500);
const body = Buffer.alloc(1_024, 'x');
const prefetch = 200;
const name = `bench-${process.pid}`;
const queue = { name, ordered: false, bindings: [] };
const driver = rabbitmq({ url });
await driver.admin.apply({ topics: [], queues: [queue] }, AbortSignal.timeout(60_000));
const publishing = await connect(url, { noDelay: true });
const consuming = await connect(url, { noDelay: true });
const admin = await publishing.createChannel();

async function measure(run) {
  globalThis.gc?.();
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await run();
  const seconds = (performance.now() - begun) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { rate: count / seconds, cpu: (user + system) / count };
}

/** `window` messages open at any time, each confirmed. */
async function rawPublish() {
  const channel = await publishing.createConfirmChannel();
  let next = 0;
  let confirmed = 0;
  await new Promise((resolve, reject) => {
    const fill = () => {
      while (next < count && next - confirmed < window) {
        channel.publish(
          '',
          name,
          body,
          {
            contentType: 'application/json',
            headers: {},
            persistent: true,
            messageId: `m${next}`,
            type: 'order.placed',
            mandatory: true,
          },
          onConfirm,
        );
        next += 1;
      }
    };
    const onConfirm = (error) => {
      if (error) return reject(error);
      confirmed += 1;
      if (confirmed === count) resolve();
      else fill();
    };
    fill();
  });
  await channel.close();
}

/** As the core calls it: batches that fill the same window between them. */
async function driverPublish() {
  const open = driver.limits.send.concurrency;
  const size = Math.min(driver.limits.send.count, Math.floor(window / open));
  let next = 0;
  const signal = new AbortController().signal;
  const worker = async () => {
    while (next < count) {
      const batch = [];
      for (; batch.length < size && next < count; next += 1) {
        batch.push({
          target: { queue: name, lane: 'work' },
          id: `m${next}`,
          type: 'order.placed',
          contentType: 'application/json',
          body,
          headers: {},
        });
      }
      await driver.send(batch, signal);
    }
  };
  await Promise.all(Array.from({ length: open }, worker));
}

/** One acknowledgement for what arrived in one turn of the event loop, as the driver's are. */
async function rawConsume() {
  const channel = await consuming.createChannel();
  await channel.prefetch(prefetch);
  let got = 0;
  let last;
  let scheduled = false;
  await new Promise((resolve) => {
    const acknowledge = () => {
      scheduled = false;
      channel.ack(last, true);
      if (got === count) resolve();
    };
    void channel.consume(name, (message) => {
      got += 1;
      last = message;
      if (scheduled) return;
      scheduled = true;
      setImmediate(acknowledge);
    });
  });
  await channel.close();
}

async function driverConsume() {
  const subscription = await driver.subscribe(queue, 'work', { maxInFlight: prefetch, onLost: () => undefined });
  const signal = new AbortController().signal;
  for (let got = 0; got < count;) {
    const deliveries = await subscription.receive(prefetch, signal);
    got += deliveries.length;
    await subscription.settle(deliveries.map((delivery) => ({ delivery, action: 'accept' })));
  }
  await subscription.close(Date.now() + 5_000);
}

const results = { rawPublish: [], driverPublish: [], rawConsume: [], driverConsume: [] };
const runs = { rawPublish, driverPublish, rawConsume, driverConsume };
for (let round = 0; round <= rounds; round += 1) {
  const order =
    round % 2 === 0
      ? ['rawPublish', 'rawConsume', 'driverPublish', 'driverConsume']
      : ['driverPublish', 'driverConsume', 'rawPublish', 'rawConsume'];
  // The first round warms up.
  for (const each of order) {
    // The broker still writes what it confirmed.
    await new Promise((resolve) => {
      setTimeout(resolve, 300);
    });
    const result = await measure(runs[each]);
    if (round > 0) results[each].push(result);
  }
}
const median = (numbers) => [...numbers].toSorted((left, right) => left - right)[Math.floor(values.length / 2)];
for (const [each, all] of Object.entries(results)) {
  console.log(
    `${each.padEnd(14)} ${Math.round(median(all.map(({ rate }) => rate)))} msg/s (${all.map(({ rate }) => Math.round(rate)).join(' ')})  ${median(all.map(({ cpu }) => cpu)).toFixed(1)} us CPU/msg`,
  );
}
for (const kind of ['Publish', 'Consume']) {
  const rate = (who) => median(results[`${who}${kind}`].map((each) => each.rate));
  const cpu = (who) => median(results[`${who}${kind}`].map((each) => each.cpu));
  console.log(
    `${kind}: ${(rate('driver') / rate('raw')).toFixed(2)}x the rate, ${(cpu('driver') / cpu('raw')).toFixed(2)}x the CPU of amqplib alone`,
  );
}
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ count, rounds, window, node: process.version, results }, undefined, 2)}\n`,
  );
}
await admin.deleteQueue(name);
await admin.deleteQueue(`${name}.dead`);
await publishing.close();
await consuming.close();
await driver.close(Date.now() + 2_000);
