import { createBus, defineEvent, defineQueue } from '@waybill/core';
import { serviceBus } from '@waybill/service-bus';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';

import { eventually, startWorker } from '../../src/index.ts';
import { ownStandin, unique } from './kit.ts';

const PROCESSES = 4;
/** With these all of them have 128 of 1,001 sessions at a time, and the busy one has a place for good if it is let. */
const PLACES = { maxSessions: 32, leaseMs: 30_000 };
const KEYS = Array.from({ length: 1_000 }, (_, index) => `k${index}`);
const EACH = [0, 1, 2];
/** From the last publish. */
const WITHIN_MS = 40_000;
/** Of the busy key, while all the others pass. */
const LONGEST_PAUSE_MS = 5_000;
const BUSY_KEY = 'busy';
/** What its handler takes: longer than until the next one, so that there is always one more. */
const BUSY_MS = 25;
const BUSY_EVERY_MS = 15;

const data = z.object({ key: z.string(), n: z.number() });
const stepped = defineEvent('step.taken', data, { topic: 'walks' }).keyedBy(({ key }) => key);
const steps = defineQueue('steps', { handles: [stepped], ordered: true });

interface Handled {
  readonly key: string;
  readonly n: number;
  readonly began: number;
  readonly ended: number;
}

const own = ownStandin();

test('a thousand keys pass in order through four processes with few places, beside one that is always busy', async () => {
  const prefix = unique('keys');
  const { connectionString, managementUrl } = own.broker;
  const options = { connectionString, managementUrl, ...PLACES };
  const bus = createBus({ source: '/test', driver: serviceBus(options), uses: [stepped, steps], prefix });
  onTestFinished(() => bus.close({ deadlineMs: 5_000 }));
  // Made before the first process looks for it.
  expect(await bus.depth(steps)).toMatchObject({ ready: 0 });

  const workers = Array.from({ length: PROCESSES }, () => start({ options, prefix }));
  onTestFinished(async () => void (await Promise.all(workers.map((worker) => worker.kill()))));
  await Promise.all(workers.map((worker) => worker.received(isReady, { withinMs: 20_000 })));
  const handled = (): Handled[] =>
    workers.flatMap(({ messages }) => messages.flatMap((message) => (isHandled(message) ? message.handled : [])));
  const count = (isBusy: boolean): number => handled().filter(({ key }) => (key === BUSY_KEY) === isBusy).length;

  const ending = new AbortController();
  onTestFinished(() => ending.abort());
  const busy = keepBusy(bus, ending.signal);
  await eventually(() => expect(count(true)).toBeGreaterThan(20), { withinMs: 20_000 });
  for (const n of EACH) await Promise.all(KEYS.map((key) => bus.publish(stepped, { key, n })));
  await eventually(() => expect(count(false)).toBe(KEYS.length * EACH.length), { withinMs: WITHIN_MS, everyMs: 200 });
  const seen = handled();
  ending.abort();
  const published = await busy;

  const byKey = new Map<string, Handled[]>();
  for (const each of seen) byKey.set(each.key, [...(byKey.get(each.key) ?? []), each]);
  for (const key of KEYS) expect(ordersOf(byKey.get(key))).toEqual(EACH);
  const busyOnes = byKey.get(BUSY_KEY) ?? [];
  expect(ordersOf(busyOnes)).toEqual(busyOnes.map((_, index) => index));
  expect(busyOnes.length).toBeLessThan(published);
  expect(longestPause(busyOnes)).toBeLessThan(LONGEST_PAUSE_MS);
  for (const { messages } of workers) expect(messages.some(isHandled)).toBe(true);
}, 90_000);

function start(place: { readonly options: object; readonly prefix: string }): ReturnType<typeof startWorker> {
  const file = new URL('./keys-worker.mjs', import.meta.url);
  const order = { ...place, concurrency: 16, busy: { key: BUSY_KEY, ms: BUSY_MS } };
  return startWorker(file, { args: [JSON.stringify(order)], lifeMs: 90_000 });
}

/** Publishes to one key until it ends; resolves with how many. */
async function keepBusy(bus: ReturnType<typeof createBus>, signal: AbortSignal): Promise<number> {
  const publishing: Promise<unknown>[] = [];
  while (!signal.aborted) {
    publishing.push(bus.publish(stepped, { key: BUSY_KEY, n: publishing.length }));
    await new Promise((resolve) => setTimeout(resolve, BUSY_EVERY_MS));
  }
  await Promise.all(publishing);
  return publishing.length;
}

/** The numbers of a key in the order in which they were handled; none began before the one before it ended. */
function ordersOf(handled: readonly Handled[] = []): readonly number[] {
  const ordered = handled.toSorted((left, right) => left.began - right.began);
  const overlapping = ordered.filter(({ began }, index) => began < (ordered[index - 1]?.ended ?? 0));
  expect(overlapping).toEqual([]);
  return ordered.map(({ n }) => n);
}

/** Between the end of one and the beginning of the next, in ms. */
function longestPause(handled: readonly Handled[]): number {
  const ordered = handled.toSorted((left, right) => left.began - right.began);
  return Math.max(...ordered.slice(1).map(({ began }, index) => began - (ordered[index]?.ended ?? 0))) / 1_000;
}

function isReady(message: unknown): message is { readonly ready: true } {
  return typeof message === 'object' && message !== null && 'ready' in message;
}

function isHandled(message: unknown): message is { readonly handled: readonly Handled[] } {
  return typeof message === 'object' && message !== null && 'handled' in message;
}
