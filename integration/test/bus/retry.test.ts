import { createBus, defineCommand, defineQueue, type Driver, Reject, RetryLater } from '@waybill/core';
import { memory } from '@waybill/memory';
import { rabbitmq } from '@waybill/rabbitmq';
import { expect, onTestFinished } from 'vitest';
import { z } from 'zod';

import { eventually } from '../../src/index.ts';
import { Noted, notes } from './contracts.ts';
import { Journal, lettersOf, onBothVersions, openBus, uniquePrefix } from './kit.ts';

const RETRY = { delaysMs: [200, 400, 700], jitter: 0.2 };
/** How late a retry may be, beside the driver's own figure: design's bound for an idle queue. */
const SLACK_MS = 1_000;

/** What a message of the plan does: fails so often, then succeeds, is rejected or fails for ever. */
const PLAN = [
  { fails: 0, then: 'succeed' },
  { fails: 1, then: 'succeed' },
  { fails: 2, then: 'succeed' },
  { fails: 3, then: 'succeed' },
  { fails: 9, then: 'succeed' },
  { fails: 0, then: 'reject' },
  { fails: 2, then: 'reject' },
  { fails: 1, then: 'later' },
] as const;

function doAsPlanned(n: number, attempt: number): void {
  const { fails, then } = PLAN[n % PLAN.length] as (typeof PLAN)[number];
  if (attempt <= fails) throw then === 'later' ? new RetryLater(50) : new Error(`attempt ${attempt} of ${n}`);
  if (then === 'reject') throw new Reject(`never ${n}`);
}

/** What became of each message of the plan on a driver: attempts in order, and its dead letter. */
async function outcomesOn(driver: Driver): Promise<unknown> {
  const bus = createBus({ source: '/plan', driver, uses: [notes], prefix: uniquePrefix() });
  onTestFinished(() => bus.close({ deadlineMs: 2_000 }));
  const journal = new Journal();
  const handler = journal.handler<{ n: number }>(({ n }, { attempt }) => doAsPlanned(n, attempt));
  await bus.consume(notes, { 'note.taken': handler }, { retry: { delaysMs: [50, 50, 50], jitter: 0 } });
  const count = 3 * PLAN.length;
  await Promise.all(Array.from({ length: count }, (_, n) => bus.publish(Noted, { n }, { id: `m${n}` })));
  const dead = 3 * PLAN.filter(({ fails, then }) => then === 'reject' || fails > 3).length;
  await eventually(async () => {
    expect(journal.distinct.size).toBe(count - dead);
    expect((await bus.depth(notes)).deadLettered).toBe(dead);
  });
  const letters = await lettersOf(bus, notes);
  return Array.from({ length: count }, (_, n) => {
    const letter = letters.find(({ id }) => id === `m${n}`);
    return {
      n,
      runs: journal.of(n).map(({ attempt, ok, redelivered }) => ({ attempt, ok, redelivered })),
      letter: letter && [
        letter.reason,
        letter.attempts,
        letter.error?.message,
        letter.topic,
        letter.queue,
        letter.redrives,
      ],
    };
  });
}
onBothVersions(({ test, broker }) => {
  test('attempts and ends of every message are the same as on the memory driver', async () => {
    const onRabbitmq = await outcomesOn(rabbitmq({ url: broker().url }));
    expect(onRabbitmq).toEqual(await outcomesOn(memory()));
  });

  test('a retry is never early, and late by at most what the driver declares and a second', async () => {
    const driver = rabbitmq({ url: broker().url });
    const bus = openBus(broker().url, { uses: [notes], driver });
    const journal = new Journal();
    const failing = journal.handler<{ n: number }>(({ n }, { attempt }) => {
      if (attempt <= 3) throw new Error(`attempt ${attempt} of ${n}`);
    });
    await bus.consume(notes, { 'note.taken': failing }, { retry: RETRY });
    const count = 40;
    await Promise.all(Array.from({ length: count }, (_, n) => bus.publish(Noted, { n }, { id: `m${n}` })));
    await eventually(() => expect(journal.distinct.size).toBe(count), { withinMs: 20_000 });
    const lateness: number[] = [];
    for (const event of bus.events) {
      if (event.name !== 'retry-scheduled') continue;
      const [failed, next] = [event.nextAttempt - 1, event.nextAttempt].map((attempt) =>
        journal.runs.find((run) => run.id === event.id && run.attempt === attempt),
      );
      if (failed === undefined || next === undefined) throw new Error(`${event.id} was not run again`);
      expect(event.delayMs).toBeGreaterThanOrEqual(RETRY.delaysMs[event.nextAttempt - 2] ?? Infinity);
      lateness.push(next.startedAt - (failed.endedAt + event.delayMs));
    }
    expect(lateness).toHaveLength(3 * count);
    expect(Math.min(...lateness)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...lateness)).toBeLessThanOrEqual(driver.capabilities.delayErrorMs + SLACK_MS);
  });

  test('a delayed send is never early, and a short delay never waits behind a long one', async () => {
    const Render = defineCommand('invoice.render', z.object({ n: z.number() }));
    const invoices = defineQueue('invoices', { handles: [Render] });
    const driver = rabbitmq({ url: broker().url });
    const bus = openBus(broker().url, { uses: [invoices], driver });
    const journal = new Journal();
    await bus.consume(invoices, { 'invoice.render': journal.handler() });
    const delays = [4_000, 2_500, 1_000, 300, 60, 0];
    const sentAt = Date.now();
    await Promise.all(delays.map((delayMs, n) => bus.send(invoices, Render, { n }, { delayMs, id: `d${n}` })));
    await eventually(() => expect(journal.runs).toHaveLength(delays.length));
    for (const { data, startedAt } of journal.runs) {
      const late = startedAt - sentAt - (delays[data.n] ?? 0);
      expect(late).toBeGreaterThanOrEqual(0);
      expect(late).toBeLessThanOrEqual(driver.capabilities.delayErrorMs + SLACK_MS);
    }
  });
});
