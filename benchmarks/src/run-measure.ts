import { subscribe } from 'node:diagnostics_channel';
import { IN_FLIGHT, type MeasureId, MEASURES, WARM_UP } from './measures.ts';
import { FIRST_SEQUENCE, type Order, orderMaker } from './order.ts';
import type { Publisher, Setting, Side } from './side.ts';

export interface Task {
  readonly side: Side;
  readonly setting: Setting;
  /** That count; those of the warm-up come before them. */
  readonly messages: number;
  /** Of publish and consume. */
  readonly warmUp: number;
  /** Messages a second, of the latency. */
  readonly rate: number;
}

export interface Result {
  readonly value: number;
  readonly p99?: number;
  readonly cpuUs: number;
  readonly rssMiB: number;
  /** HTTP requests for each message, of a broker that is asked so. */
  readonly requests?: number;
}

/** One after the other: a pause of broker or machine is much of a shorter time. */
const LEAST_AWAITED_MS = 2_000;
/** So few that batches stay small. */
const FEW_IN_FLIGHT = 4;

/**
 * Messages of a warm-up with few in flight. Enough for all to be compiled, also what is done once for a batch; one by one it
 * would take longer than what is measured.
 */
function fewInFlight(messages: number): number {
  return Math.min(3 * WARM_UP, 10 * messages);
}

/** All of this process, receives that bring nothing included. */
let requests = 0;
subscribe('http.client.request.start', () => (requests += 1));

/** A round of one measure on one side, in this process. */
export async function runMeasure(task: Task): Promise<Result> {
  return RUNS[task.setting.measure](task);
}

const RUNS: Readonly<Record<MeasureId, (task: Task) => Promise<Result>>> = {
  publish: publishMany,
  consume: consumeMany,
  'awaited-256': publishOneByOne,
  'awaited-4096': publishOneByOne,
  'awaited-65536': publishOneByOne,
  storm,
  latency,
};

/** How many messages a queue must hold before a round of a prefilled measure. */
export function prefill(measure: Setting['measure'], messages: number, warmUp: number): number {
  return measure === 'consume' ? warmUp + messages : messages;
}

async function publishMany({ side, setting, messages, warmUp }: Task): Promise<Result> {
  const publisher = await side.publisher(setting);
  const make = orderMaker(MEASURES.publish.bytes);
  await pump(publisher, warmUp, make);
  const end = begin();
  await pump(publisher, messages, make);
  const { seconds, ...used } = end(messages);
  await publisher.close();
  return { value: messages / seconds, ...used };
}

/** Keeps so many publishes open until `count` are confirmed. */
async function pump(
  publisher: Publisher,
  count: number,
  make: (sequence: number) => Order,
  inFlight = IN_FLIGHT,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await publisher.publish(make(FIRST_SEQUENCE + next));
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}

async function publishOneByOne({ side, setting, messages }: Task): Promise<Result> {
  const publisher = await side.publisher(setting);
  const make = orderMaker(MEASURES[setting.measure].bytes);
  const publish = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) await publisher.publish(make(FIRST_SEQUENCE + index));
  };
  await pump(publisher, fewInFlight(messages), make, FEW_IN_FLIGHT);
  await publish(messages);
  const end = begin();
  const until = performance.now() + LEAST_AWAITED_MS;
  let count = 0;
  do {
    await publish(messages);
    count += messages;
  } while (performance.now() < until);
  const { seconds, ...used } = end(count);
  await publisher.close();
  return { value: (seconds * 1e6) / count, ...used };
}

async function consumeMany({ side, setting, messages, warmUp }: Task): Promise<Result> {
  const all = prefill('consume', messages, warmUp);
  const handled = countdown(all, 'handled');
  let end = begin();
  const seen = new Set<number>();
  const consumer = await side.consumer(setting, async ({ sequence }) => {
    if (seen.has(sequence)) return;
    seen.add(sequence);
    if (seen.size === warmUp) end = begin();
    handled.one();
  });
  await handled.all;
  const { seconds, ...used } = end(messages);
  await settled();
  await consumer.close();
  return { value: messages / seconds, ...used };
}

/** Every message fails once, and is handled when it comes again. */
async function storm({ side, setting, messages }: Task): Promise<Result> {
  const handled = countdown(messages, 'handled');
  const failed = new Set<number>();
  const done = new Set<number>();
  let end: ReturnType<typeof begin> | undefined;
  const consumer = await side.consumer(setting, async ({ sequence }) => {
    end ??= begin();
    if (!failed.has(sequence)) {
      failed.add(sequence);
      throw new Error('the first attempt fails');
    }
    if (done.has(sequence)) return;
    done.add(sequence);
    handled.one();
  });
  await handled.all;
  const { seconds, ...used } = (end ?? begin())(messages);
  await settled();
  await consumer.close();
  return { value: messages / seconds, ...used };
}

async function latency({ side, setting, messages, rate }: Task): Promise<Result> {
  const make = orderMaker(MEASURES.latency.bytes);
  const times: number[] = [];
  const first = countdown(1, 'handled');
  const warmUp = fewInFlight(messages);
  const warm = countdown(warmUp, 'handled');
  const arrived = countdown(warmUp + messages, 'handled');
  const seen = new Set<number>();
  const consumer = await side.consumer(setting, async ({ sequence, sentAt }) => {
    if (seen.has(sequence)) return;
    seen.add(sequence);
    times[sequence - FIRST_SEQUENCE] = performance.now() - sentAt;
    for (const each of [first, warm, arrived]) each.one();
  });
  const publisher = await side.publisher(setting);
  const send = (index: number): Promise<void> => publisher.publish(make(FIRST_SEQUENCE + index, performance.now()));
  // Some brokers take seconds until a consumer is there.
  await send(0);
  await first.all;
  await pump(publisher, warmUp - 1, make, FEW_IN_FLIGHT);
  await warm.all;
  const end = begin();
  await pace({ from: warmUp, to: warmUp + messages, rate, send });
  await arrived.all;
  const { seconds: _, ...used } = end(messages);
  await settled();
  await publisher.close();
  await consumer.close();
  const counted = times.slice(warmUp).toSorted((left, right) => left - right);
  return { value: percentile(counted, 0.5), p99: percentile(counted, 0.99), ...used };
}

interface Paced {
  readonly from: number;
  readonly to: number;
  readonly rate: number;
  readonly send: (index: number) => Promise<void>;
}

/** Sends as the clock says, whatever became of those before. */
async function pace({ from, to, rate, send }: Paced): Promise<void> {
  const begun = performance.now();
  const open: Promise<void>[] = [];
  for (let next = from; next < to;) {
    const due = Math.min(to, from + Math.ceil(((performance.now() - begun) / 1_000) * rate));
    for (; next < due; next += 1) open.push(send(next));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(open);
}

function percentile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** What was used until the call of its result, for each of so many messages. */
function begin(): (count: number) => Omit<Result, 'value'> & { readonly seconds: number } {
  globalThis.gc?.();
  const asked = requests;
  const cpu = process.cpuUsage();
  const at = performance.now();
  return (count) => {
    const seconds = (performance.now() - at) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    const rssMiB = process.resourceUsage().maxRSS / 1_024;
    const used = { seconds, cpuUs: (user + system) / count, rssMiB };
    return requests === asked ? used : { ...used, requests: (requests - asked) / count };
  };
}

/** Gives the last handlers' sides the turns to accept their messages: some cannot once they are closing. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const LONGEST_MS = 60_000;

/** Resolves `all` at the `count`th call of `one`; rejects when that takes too long. */
function countdown(count: number, what: string): { readonly all: Promise<void>; one(): void } {
  let left = count;
  let done: () => void = () => undefined;
  const all = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`${left} of ${count} messages were not ${what} within ${LONGEST_MS / 1_000} s`));
    }, LONGEST_MS);
    done = () => {
      clearTimeout(timer);
      resolve();
    };
  });
  return {
    all,
    one: () => {
      left -= 1;
      if (left === 0) done();
    },
  };
}
