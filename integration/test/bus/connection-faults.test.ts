import { once } from 'node:events';
import type { HandlerContext } from '@waybill/core';
import { expect, onTestFinished } from 'vitest';

import { eventually, type Proxy, type ProxyOptions, startProxy } from '../../src/index.ts';
import { containerTest, sharedRabbitmq, sharedToxiproxy } from '../shared.ts';
import { archive, ledger, Noted, notes, Placed } from './contracts.ts';
import {
  type BusUnderTest,
  codesOf,
  Gate,
  Journal,
  missing,
  openBus,
  type OpenOptions,
  outcomeOf,
  sendMany,
  statusesOf,
  storedIds,
  takeIds,
} from './kit.ts';

async function proxied(options?: ProxyOptions): Promise<Proxy> {
  const proxy = await startProxy(sharedToxiproxy(), sharedRabbitmq().url, options);
  onTestFinished(() => proxy.close());
  return proxy;
}

/** A bus behind a proxy, with `notes` consumed by itself and `archive` by nobody: what is in there is stored. */
async function busBehind(proxy: Proxy, options: Partial<OpenOptions>, journal: Journal): Promise<BusUnderTest> {
  const bus = openBus(proxy.url, { uses: [notes, archive], ...options });
  const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));
  await bus.consume(notes, { 'note.taken': journal.handler(soon) }, { concurrency: 32 });
  return bus;
}

const archived = (bus: BusUnderTest): Promise<readonly string[]> =>
  takeIds(sharedRabbitmq().url, `${bus.prefix}.archive`);

/** In the same process: a publish is stored and handled at once, and health is up. */
async function expectGoesOn(bus: BusUnderTest, journal: Journal): Promise<void> {
  await eventually(
    () => expect(bus.health()).toMatchObject({ consumers: [{ status: 'up' }], publisher: { pending: 0 } }),
    {
      withinMs: 15_000,
    },
  );
  const last = await outcomeOf('last', () => bus.publish(Noted, { n: -1 }, { id: 'last' }));
  expect(last).toMatchObject({ stored: true });
  expect(last.ms).toBeLessThan(2_000);
  await eventually(() => expect(journal.succeeded).toContain('last'));
  await eventually(() => expect(bus.health()).toMatchObject({ status: 'up', publisher: { pending: 0 } }));
}

for (const closesWith of ['fin', 'reset'] as const) {
  containerTest(
    `a connection cut by ${closesWith} in the middle of 5,000 publishes loses nothing`,
    { timeout: 60_000 },
    async () => {
      const proxy = await proxied({ closesWith });
      const journal = new Journal();
      const bus = await busBehind(proxy, { sendTimeoutMs: 15_000 }, journal);
      const cuts: Promise<void>[] = [];
      const outcomes = await sendMany(
        5_000,
        500,
        (n, id) => bus.publish(Noted, { n }, { id }),
        (done) => {
          if (done === 1_200 || done === 2_700 || done === 4_200) cuts.push(proxy.cut());
        },
      );
      await Promise.all(cuts);
      expect(cuts).toHaveLength(3);
      const codes = codesOf(outcomes);
      expect(Object.keys(codes).filter((code) => !['stored', 'UNAVAILABLE', 'TIMEOUT'].includes(code))).toEqual([]);
      // The connection was back at once, so that everything found its time.
      expect(codes).toEqual({ stored: 5_000 });
      await eventually(() => expect(missing(storedIds(outcomes), journal.distinct)).toEqual([]), { withinMs: 20_000 });
      await expectGoesOn(bus, journal);
      const stored = await archived(bus);
      expect(missing(storedIds(outcomes), stored)).toEqual([]);
      await eventually(() => expect(missing(stored, journal.distinct)).toEqual([]));
      expect(statusesOf(bus)).toEqual(expect.arrayContaining(['down']));
      expect(statusesOf(bus).at(-1)).toBe('up');
      // Only what was in flight at a cut may be there twice.
      expect(stored.length).toBeLessThan(5_001 + 3 * 1_600);
      await eventually(async () => expect(await bus.depth(notes)).toMatchObject({ ready: 0, deadLettered: 0 }));
    },
  );
}

containerTest(
  'what lost connections charged of an ordered queue is not handled one by one for it',
  { timeout: 120_000 },
  async () => {
    const proxy = await proxied();
    const bus = openBus(proxy.url, { uses: [ledger] });
    const [journal, gate] = [new Journal(), new Gate()];
    let [running, most] = [0, 0];
    const wait = async (_: unknown, { signal }: HandlerContext): Promise<void> => {
      await Promise.race([gate.opened, once(signal, 'abort')]);
      signal.throwIfAborted();
      most = Math.max(most, (running += 1));
      await new Promise((resolve) => setTimeout(resolve, 10));
      running -= 1;
    };
    await bus.consume(ledger, { 'order.placed': journal.handler(wait), 'order.paid': () => {} }, { concurrency: 32 });
    const data = (n: number): { readonly key: string; readonly n: number } => ({ key: `k${n % 90}`, n });
    const outcomes = await sendMany(900, 300, (n, id) => bus.publish(Placed, data(n), { id }));
    expect(codesOf(outcomes)).toEqual({ stored: 900 });
    const allInHand = async (runs: number): Promise<void> => {
      await eventually(() => expect(journal.runs.length).toBeGreaterThan(runs), { withinMs: 15_000 });
      await eventually(async () => expect(await bus.depth(ledger)).toMatchObject({ ready: 0 }));
    };
    await allInHand(0);
    for (let cut = 0; cut < 3; cut += 1) {
      const runs = journal.runs.length;
      await proxy.cut();
      await allInHand(runs);
    }
    gate.open();
    await eventually(() => expect(missing(storedIds(outcomes), journal.distinct)).toEqual([]), { withinMs: 60_000 });
    expect(most).toBeGreaterThan(8);
    await eventually(async () => expect(await bus.depth(ledger)).toMatchObject({ ready: 0, deadLettered: 0 }));
  },
);

containerTest('a broker that cannot be reached fails sends by their deadline, and health says so', async () => {
  const proxy = await proxied();
  const journal = new Journal();
  const bus = await busBehind(proxy, { sendTimeoutMs: 1_000 }, journal);
  await bus.publish(Noted, { n: 0 }, { id: 'first' });
  await proxy.refuse(true);
  const outcomes = await sendMany(50, 50, (n, id) => bus.publish(Noted, { n }, { id }));
  expect(outcomes.map(({ ms }) => ms).filter((ms) => ms > 1_500)).toEqual([]);
  expect(Object.keys(codesOf(outcomes)).filter((code) => !['UNAVAILABLE', 'TIMEOUT'].includes(code))).toEqual([]);
  await eventually(() => expect(bus.health()).toMatchObject({ status: 'down', consumers: [{ status: 'down' }] }));
  expect(bus.health().consumers[0]?.error).toMatchObject({ code: 'UNAVAILABLE' });
  await proxy.refuse(false);
  await expectGoesOn(bus, journal);
  // Said to be not stored: it is not.
  const unavailable = outcomes.flatMap((outcome) =>
    !outcome.stored && outcome.code === 'UNAVAILABLE' ? [outcome.id] : [],
  );
  expect(unavailable.length).toBeGreaterThan(0);
  const stored = new Set(await archived(bus));
  expect(unavailable.filter((id) => stored.has(id))).toEqual([]);
});

containerTest(
  'health is up again by itself once the broker can be reached, also when nothing is published',
  async () => {
    const proxy = await proxied();
    const bus = await busBehind(proxy, { sendTimeoutMs: 500 }, new Journal());
    expect(bus.health()).toMatchObject({ status: 'up' });
    await proxy.refuse(true);
    expect(await outcomeOf('lost', () => bus.publish(Noted, { n: 0 }))).toMatchObject({ stored: false });
    await eventually(() => expect(bus.health()).toMatchObject({ status: 'down', consumers: [{ status: 'down' }] }));
    await proxy.refuse(false);
    await eventually(() => expect(bus.health()).toMatchObject({ status: 'up', consumers: [{ status: 'up' }] }));
  },
);

for (const [name, heartbeatSeconds] of [
  ['shorter than the heartbeat', 30],
  ['that the heartbeat finds', 1],
] as const) {
  containerTest(`a black hole ${name} fails sends by their deadline and is recovered from`, async () => {
    const proxy = await proxied();
    const journal = new Journal();
    const bus = await busBehind(
      proxy,
      { sendTimeoutMs: 1_200, rabbitmq: { heartbeatSeconds, connectTimeoutMs: 2_000 } },
      journal,
    );
    const before = await sendMany(200, 50, (n, id) => bus.publish(Noted, { n }, { id }));
    expect(codesOf(before)).toEqual({ stored: 200 });
    await proxy.blackHole(true);
    const sending = Promise.all(
      [0, 700, 1_400, 2_100, 2_800].map(async (waitMs) => {
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        return sendMany(40, 40, (n) => bus.publish(Noted, { n }, { id: `hole${waitMs}-${n}` }));
      }),
    );
    await eventually(() => expect(bus.health().status).not.toBe('up'), { withinMs: 3_500 });
    const during = (await sending).flat();
    expect(Object.keys(codesOf(during)).filter((code) => !['UNAVAILABLE', 'TIMEOUT'].includes(code))).toEqual([]);
    expect(during.map(({ ms }) => Math.round(ms)).filter((ms) => ms > 1_700)).toEqual([]);
    expect(bus.health()).toMatchObject({ publisher: { pending: 0 } });
    await proxy.blackHole(false);
    await expectGoesOn(bus, journal);
    const after = await sendMany(200, 50, (n) => bus.publish(Noted, { n }, { id: `after${n}` }));
    expect(codesOf(after)).toEqual({ stored: 200 });
    const wanted = [...storedIds(before), ...Array.from({ length: 200 }, (_, n) => `after${n}`)];
    await eventually(() => expect(missing(wanted, journal.distinct)).toEqual([]));
    expect(missing(wanted, await archived(bus))).toEqual([]);
  });
}

/** Every channel that a publisher may need is open: to open one needs an answer. */
async function openChannels(bus: BusUnderTest): Promise<void> {
  const outcomes = await sendMany(300, 300, (n) => bus.publish(Noted, { n }, { id: `first${n}` }));
  expect(codesOf(outcomes)).toEqual({ stored: 300 });
}

containerTest('lost confirms: what is sent again within its time is stored once or twice, and resolves', async () => {
  const proxy = await proxied();
  const journal = new Journal();
  const bus = await busBehind(proxy, { sendTimeoutMs: 20_000 }, journal);
  await openChannels(bus);
  await proxy.loseAnswers(true);
  const sending = sendMany(100, 100, (n, id) => bus.publish(Noted, { n }, { id }));
  // The broker has them; nobody here knows.
  const direct = openBus(sharedRabbitmq().url, { prefix: bus.prefix, uses: [archive] });
  await eventually(async () => expect((await direct.depth(archive)).ready).toBe(100 + 300));
  expect(bus.health().publisher.pending).toBe(100);
  await proxy.loseAnswers(false);
  const outcomes = await sending;
  expect(codesOf(outcomes)).toEqual({ stored: 100 });
  await expectGoesOn(bus, journal);
  const stored = await archived(bus);
  const counts = outcomes.map(({ id }) => stored.filter((each) => each === id).length);
  expect(counts.filter((count) => count < 1 || count > 2)).toEqual([]);
  await eventually(() => expect(missing(storedIds(outcomes), journal.distinct)).toEqual([]));
});

containerTest('lost confirms: a send whose time is up says TIMEOUT, and is stored', async () => {
  const proxy = await proxied();
  const journal = new Journal();
  const bus = await busBehind(proxy, { sendTimeoutMs: 1_000 }, journal);
  await openChannels(bus);
  await proxy.loseAnswers(true);
  const outcomes = await sendMany(100, 100, (n, id) => bus.publish(Noted, { n }, { id }));
  expect(codesOf(outcomes)).toEqual({ TIMEOUT: 100 });
  expect(outcomes.map(({ ms }) => Math.round(ms)).filter((ms) => ms > 1_500)).toEqual([]);
  await proxy.loseAnswers(false);
  await expectGoesOn(bus, journal);
  const ids = outcomes.map(({ id }) => id);
  expect(missing(ids, await archived(bus))).toEqual([]);
  await eventually(() => expect(missing(ids, journal.distinct)).toEqual([]));
});
