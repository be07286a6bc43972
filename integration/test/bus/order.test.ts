import { expect } from 'vitest';

import { eventually } from '../../src/index.ts';
import { ledger, Paid, Placed } from './contracts.ts';
import { type BusUnderTest, Gate, Journal, missing, onBothVersions, openBus, type Run, uniquePrefix } from './kit.ts';

const KEYS = 50;
const PER_KEY = 40;
const TOPICS = ['order.placed', 'order.paid'] as const;

type Keyed = { readonly key: string; readonly n: number };

/** Publishes to both topics, keys interleaved, none awaited before the next. */
async function publishAll(bus: BusUnderTest, from = 0, to = PER_KEY): Promise<void> {
  const publishes: Promise<void>[] = [];
  for (let n = from; n < to; n += 1) {
    for (let key = 0; key < KEYS; key += 1) {
      const data = { key: `k${key}`, n };
      publishes.push(
        bus.publish(Placed, data, { id: `placed-k${key}-${n}` }),
        bus.publish(Paid, data, { id: `paid-k${key}-${n}` }),
      );
    }
  }
  await Promise.all(publishes);
}

/** Handlers of both topics that record into one journal. */
function handlers(journal: Journal, work: (data: Keyed, attempt: number, label: string) => unknown) {
  return {
    'order.placed': journal.handler<Keyed>((data, { attempt }) => work(data, attempt, TOPICS[0]), TOPICS[0]),
    'order.paid': journal.handler<Keyed>((data, { attempt }) => work(data, attempt, TOPICS[1]), TOPICS[1]),
  };
}

/** By topic and key, the runs in the order in which they started. */
function chains(runs: readonly Run[]): ReadonlyMap<string, readonly Run[]> {
  const found = new Map<string, Run[]>();
  for (const run of runs) {
    const chain = found.get(`${run.label} ${run.data.key}`) ?? [];
    found.set(`${run.label} ${run.data.key}`, chain);
    chain.push(run);
  }
  return found;
}

/** Numbers from 0 in order, no run before the one in front of it has ended, each number succeeds exactly once. */
function expectOrder(runs: readonly Run[], perKey = PER_KEY): void {
  const found = chains(runs);
  expect(found.size).toBe(TOPICS.length * KEYS);
  for (const [chain, of] of found) {
    expect([chain, of.filter(({ ok }) => ok).map(({ data }) => data.n)]).toEqual([
      chain,
      Array.from({ length: perKey }, (_, n) => n),
    ]);
    for (const [index, run] of of.entries()) {
      const before = of[index - 1];
      if (before === undefined) continue;
      expect(run.data.n - before.data.n, `${chain}: ${run.data.n} after ${before.data.n}`).toBe(before.ok ? 1 : 0);
      expect(run.startedAt, `${chain}: ${run.data.n} while ${before.data.n} runs`).toBeGreaterThanOrEqual(
        before.endedAt,
      );
    }
  }
}

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

onBothVersions(({ test, broker }) => {
  test('an ordered queue of two topics handles each key in order, also what fails, and lets other keys flow', async () => {
    const bus = openBus(broker().url, { uses: [ledger] });
    const journal = new Journal();
    const failing = { key: 'k0', n: 3 };
    const delaysMs = [600, 900];
    const all = handlers(journal, async ({ key, n }, attempt) => {
      await soon();
      if (key === failing.key && n === failing.n && attempt <= 2) throw new Error(`attempt ${attempt}`);
    });
    await bus.consume(ledger, all, { concurrency: 32, retry: { delaysMs, jitter: 0 } });
    await publishAll(bus);
    const total = TOPICS.length * KEYS * PER_KEY;
    await eventually(() => expect(journal.succeeded).toHaveLength(total), { withinMs: 25_000 });
    expectOrder(journal.runs);
    for (const topic of TOPICS) {
      const runs = journal.runs.filter(
        ({ label, data }) => label === topic && data.key === failing.key && data.n === failing.n,
      );
      expect(runs.map(({ attempt, ok }) => ({ attempt, ok }))).toEqual([
        { attempt: 1, ok: false },
        { attempt: 2, ok: false },
        { attempt: 3, ok: true },
      ]);
      for (const [index, delayMs] of delaysMs.entries()) {
        const [failed, next] = runs.slice(index) as [Run, Run];
        expect(next.startedAt - failed.endedAt).toBeGreaterThanOrEqual(delayMs);
        expect(next.startedAt - failed.endedAt).toBeLessThan(delayMs + 1_000);
      }
      // While the failing key waited, other keys went on.
      const [first, last] = [runs[0] as Run, runs[2] as Run];
      const meanwhile = journal.runs.filter(({ startedAt }) => startedAt > first.endedAt && startedAt < last.startedAt);
      expect(meanwhile.filter(({ data, ok }) => data.key !== failing.key && ok).length).toBeGreaterThan(KEYS);
      expect(meanwhile.filter(({ data, label }) => data.key === failing.key && label === topic)).toMatchObject([
        { attempt: 2 },
      ]);
    }
    expect(await bus.depth(ledger)).toMatchObject({ ready: 0, deadLettered: 0 });
  });

  test('the successors of a dead letter run, in order', async () => {
    const bus = openBus(broker().url, { uses: [ledger] });
    const journal = new Journal();
    const all = handlers(journal, ({ n }) => {
      if (n === 1) throw new Error('never');
    });
    await bus.consume(ledger, all, { retry: { delaysMs: [50], jitter: 0 } });
    for (let n = 0; n < 5; n += 1) await bus.publish(Placed, { key: 'a', n }, { id: `a${n}` });
    await eventually(() => expect(journal.succeeded).toHaveLength(4));
    expect(journal.runs.map(({ data, ok }) => [data.n, ok])).toEqual([
      [0, true],
      [1, false],
      [1, false],
      [2, true],
      [3, true],
      [4, true],
    ]);
    expect(await bus.depth(ledger)).toMatchObject({ deadLettered: 1 });
  });

  test('a second process takes over in order and without a duplicate when the first closes', async () => {
    const { url } = broker();
    const prefix = uniquePrefix();
    const [first, second] = [
      openBus(url, { prefix, uses: [ledger] }),
      openBus(url, { prefix, uses: [ledger] }),
    ] as const;
    const [journal, later] = [new Journal(), new Journal()];
    const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
    await first.consume(ledger, handlers(journal, pause), { concurrency: 16 });
    await second.consume(ledger, handlers(later, soon), { concurrency: 16 });
    const perKey = 12;
    const total = TOPICS.length * KEYS * perKey;
    const published = publishAll(first, 0, perKey);
    await eventually(() => expect(journal.succeeded.length).toBeGreaterThan(total / 4), {
      withinMs: 15_000,
      everyMs: 5,
    });
    await published;
    expect(later.runs).toEqual([]);
    await first.close();
    const done = journal.succeeded.length;
    expect(done).toBeLessThan(total);
    expect(journal.runs.every(({ ok }) => ok)).toBe(true);
    await eventually(() => expect(new Set([...journal.succeeded, ...later.succeeded]).size).toBe(total), {
      withinMs: 15_000,
    });
    const twice = missing(
      later.succeeded,
      later.succeeded.filter((id) => !journal.distinct.has(id)),
    );
    expect(twice).toEqual([]);
    expectOrder([...journal.runs, ...later.runs], perKey);
    expect(journal.succeeded).toHaveLength(done);
    expect(await second.depth(ledger)).toMatchObject({ ready: 0, deadLettered: 0 });
  });

  test('what was accepted in a burst just before a close is accepted, also behind a message that is held', async () => {
    const { url } = broker();
    const prefix = uniquePrefix();
    const [first, second] = [
      openBus(url, { prefix, uses: [ledger] }),
      openBus(url, { prefix, uses: [ledger] }),
    ] as const;
    const [journal, later] = [new Journal(), new Journal()];
    const gate = new Gate();
    const all = handlers(journal, async ({ key, n }) => {
      if (key === 'held') throw new Error('held for its next attempt');
      if (n === 1) await gate.opened;
    });
    await first.consume(ledger, all, { concurrency: 500, retry: { delaysMs: [60_000], jitter: 0 } });
    for (let n = 0; n < 25; n += 1) await first.publish(Placed, { key: 'warm', n: 0 }, { id: `warm${n}` });
    await eventually(() => expect(journal.succeeded).toHaveLength(25));
    await first.publish(Placed, { key: 'held', n: 1 }, { id: 'held' });
    await Promise.all(
      Array.from({ length: 400 }, (_, n) => first.publish(Placed, { key: `b${n}`, n: 1 }, { id: `b${n}` })),
    );
    await eventually(() => expect(journal.runs).toHaveLength(25 + 1 + 400));
    const closed = first.close();
    gate.open();
    await closed;
    expect(journal.succeeded).toHaveLength(25 + 400);
    await second.consume(ledger, handlers(later, soon));
    await eventually(() => expect(later.succeeded).toContain('held'));
    await eventually(async () => expect(await second.depth(ledger)).toMatchObject({ ready: 0, deadLettered: 0 }));
    expect(later.runs.map(({ id }) => id)).toEqual(['held']);
  });
});
