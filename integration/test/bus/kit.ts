import { randomBytes } from 'node:crypto';

import {
  type Bus,
  type BusOptions,
  createBus,
  type DeadLetter,
  type HandlerContext,
  type ObserveEvent,
  type QueueContract,
  Reject,
  WaybillError,
  type WaybillErrorCode,
} from '@waybill/core';
import { rabbitmq, type RabbitmqOptions } from '@waybill/rabbitmq';
import { type Channel, connect, type Message } from 'amqplib';
import { describe, expect, onTestFinished, test } from 'vitest';

import { eventually, type Rabbitmq } from '../../src/index.ts';
import { containerTest, sharedOldRabbitmq, sharedRabbitmq } from '../shared.ts';
import { Noted, notes } from './contracts.ts';

/** What a describe of both versions gets. */
export interface BrokerOfRun {
  readonly label: string;
  readonly test: typeof test;
  readonly broker: () => Rabbitmq;
}

const both: readonly BrokerOfRun[] = [
  { label: 'current RabbitMQ', test, broker: sharedRabbitmq },
  { label: 'old RabbitMQ', test: containerTest as typeof test, broker: sharedOldRabbitmq },
];

/** Declares the same tests for the two versions of the run. */
export function onBothVersions(declare: (version: BrokerOfRun) => void): void {
  describe.each(both.map((version) => [version.label, version] as const))('%s', (_, version) => {
    declare(version);
  });
}

/** Put before all names of a test, so that tests share a broker. */
export function uniquePrefix(): string {
  return `t${randomBytes(4).toString('hex')}`;
}

export interface BusUnderTest extends Bus {
  readonly prefix: string;
  /** What it told its observer. */
  readonly events: readonly ObserveEvent[];
}

export interface OpenOptions extends Partial<BusOptions> {
  readonly uses: BusOptions['uses'];
  readonly rabbitmq?: Omit<RabbitmqOptions, 'url'>;
}

/** A bus on a broker that is closed with its test. */
export function openBus(url: RabbitmqOptions['url'], options: OpenOptions): BusUnderTest {
  const { rabbitmq: driverOptions, ...busOptions } = options;
  const prefix = options.prefix ?? uniquePrefix();
  const events: ObserveEvent[] = [];
  const bus = createBus({
    source: '/integration',
    driver: rabbitmq({ url, ...driverOptions }),
    observe: (event) => void events.push(event),
    ...busOptions,
    prefix,
  });
  onTestFinished(() => bus.close({ deadlineMs: 2_000 }));
  return Object.assign(bus, { prefix, events });
}

/** A raw channel that is closed with its test. */
export async function openChannel(url: string): Promise<Channel> {
  const model = await connect(url);
  model.on('error', () => {});
  onTestFinished(() => {
    // `close` can wait for ever for a peer that is gone.
    void model.close().catch(() => {});
  });
  const channel = await model.createChannel();
  channel.on('error', () => {});
  return channel;
}

/** Takes everything that is ready in a queue now, oldest first. */
async function takeAll(url: string, queue: string): Promise<readonly Message[]> {
  const channel = await openChannel(url);
  const { messageCount } = await channel.checkQueue(queue);
  const messages: Message[] = [];
  if (messageCount === 0) return messages;
  await new Promise<void>((resolve, reject) => {
    channel.once('close', () => reject(new Error(`The channel closed after ${messages.length} of ${messageCount}.`)));
    const take = (message: Message | null): void => {
      if (message === null || messages.push(message) === messageCount) resolve();
    };
    channel.consume(queue, take, { noAck: true }).catch(reject);
  });
  await channel.close();
  return messages;
}

/** The ids of all messages that are ready in a queue; it is empty afterwards. */
export async function takeIds(url: string, queue: string): Promise<readonly string[]> {
  return (await takeAll(url, queue)).map(({ properties }) => String(properties.messageId));
}

/** One run of a handler. */
export interface Run {
  readonly id: string;
  /** Which handler. */
  readonly label: string;
  readonly data: { readonly n: number; readonly key?: string };
  readonly attempt: number;
  readonly redelivered: boolean;
  readonly startedAt: number;
  endedAt: number;
  ok: boolean;
}

/** Everything that handlers did, in the order in which they started. */
export class Journal {
  readonly runs: Run[] = [];
  /** Ids in the order of their successes. */
  readonly succeeded: string[] = [];

  /** A handler that records, then does what `work` does. */
  handler<Data extends Run['data']>(
    work: (data: Data, context: HandlerContext) => unknown = () => undefined,
    label = '',
  ): (data: Data, context: HandlerContext) => Promise<void> {
    return async (data, context) => {
      const { metadata, attempt, redelivered } = context;
      const run: Run = {
        id: metadata.id,
        label,
        data,
        attempt,
        redelivered,
        startedAt: Date.now(),
        endedAt: 0,
        ok: false,
      };
      this.runs.push(run);
      try {
        await work(data, context);
        run.ok = true;
        this.succeeded.push(run.id);
      } finally {
        run.endedAt = Date.now();
      }
    };
  }

  /** Runs of one message, in order. */
  of(n: number): readonly Run[] {
    return this.runs.filter(({ data }) => data.n === n);
  }

  get distinct(): ReadonlySet<string> {
    return new Set(this.succeeded);
  }
}

export type SendOutcome = { readonly id: string; readonly ms: number } & (
  | { readonly stored: true }
  | { readonly stored: false; readonly code: WaybillErrorCode | 'foreign'; readonly error: unknown }
);

/** Starts `send` for each id with at most `inFlight` open; resolves with what became of each. Never rejects. */
export async function sendMany(
  count: number,
  inFlight: number,
  send: (n: number, id: string) => Promise<void>,
  onOutcome: (done: number) => void = () => undefined,
): Promise<readonly SendOutcome[]> {
  const outcomes: SendOutcome[] = [];
  let next = 0;
  let done = 0;
  const line = async (): Promise<void> => {
    while (next < count) {
      const n = next;
      next += 1;
      outcomes[n] = await outcomeOf(`m${n}`, () => send(n, `m${n}`));
      done += 1;
      onOutcome(done);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, line));
  return outcomes;
}

/** What became of one send, and how long it took. */
export async function outcomeOf(id: string, send: () => Promise<void>): Promise<SendOutcome> {
  const startedAt = performance.now();
  const ms = (): number => performance.now() - startedAt;
  try {
    await send();
    return { id, ms: ms(), stored: true };
  } catch (error) {
    return { id, ms: ms(), stored: false, code: WaybillError.is(error) ? error.code : 'foreign', error };
  }
}

export function storedIds(outcomes: readonly SendOutcome[]): readonly string[] {
  return outcomes.flatMap(({ id, stored }) => (stored ? [id] : []));
}

/** How often each code came. */
export function codesOf(outcomes: readonly SendOutcome[]): Readonly<Record<string, number>> {
  const codes: Record<string, number> = {};
  for (const outcome of outcomes) {
    const code = outcome.stored ? 'stored' : outcome.code;
    codes[code] = (codes[code] ?? 0) + 1;
  }
  return codes;
}

export async function lettersOf(bus: Bus, queue: QueueContract): Promise<readonly DeadLetter[]> {
  const letters: DeadLetter[] = [];
  for await (const letter of bus.deadLetters(queue)) letters.push(letter);
  return letters;
}

/** Makes a dead letter of each id; nobody consumes when it resolves. */
export async function makeDeadLetters(bus: Bus, ids: readonly string[]): Promise<void> {
  const reject = (): never => {
    throw new Reject('dead');
  };
  const consumer = await bus.consume(notes, { 'note.taken': reject });
  await Promise.all(ids.map((id, n) => bus.publish(Noted, { n }, { id })));
  await eventually(async () => expect((await bus.depth(notes)).deadLettered).toBe(ids.length));
  await consumer.close();
}

/** What is in `wanted` and not in `there`. */
export function missing<T>(wanted: Iterable<T>, there: Iterable<T>): readonly T[] {
  const found = new Set(there);
  return [...wanted].filter((each) => !found.has(each));
}

/** A promise that is opened from outside. */
export class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}

/** Statuses of a consumer, each change once. */
export function statusesOf(bus: BusUnderTest): readonly string[] {
  return bus.events
    .flatMap((event) => (event.name === 'consumer' ? [event.status] : []))
    .filter((status, index, all) => status !== all[index - 1]);
}
