import { setTimeout as sleep } from 'node:timers/promises';
import type { Driver } from '@waybill/core';
import { Jumped, Moved, track } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { wrapDriver } from '../wrap-driver.ts';
import {
  allHandled,
  checkOneProcess,
  checkOrder,
  idOf,
  keysOf,
  orderedBus,
  publishMoves,
  type Run,
  runsOf,
} from './order-runs.ts';

export const order: readonly Scenario[] = [
  {
    id: 'order-per-key',
    guarantee: 'order',
    sentence:
      'messages of one key and topic are handled one after the other, as they were published, while other keys run beside them',
    needs: ['ordering'],
    deadlineMs: 45_000,
    quick: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const worker = await kit.worker({ queue: 'track', rules: [{ then: 'handle', afterMs: 10 }] });
      await publishMoves(bus, keysOf(10), 40, [Moved, Jumped]);
      await allHandled(kit, 400, 30_000);
      const runs = runsOf([worker]);
      checkOrder(kit, runs);
      const atOnce = keysAtOnce(runs);
      kit.check(atOnce > 2, `more keys than topics have a handler running at the same time, not ${atOnce}`);
    },
  },
  {
    id: 'order-through-retries',
    guarantee: 'order',
    sentence: 'a failed message is tried again in its place: its successors wait for it, other keys do not',
    needs: ['ordering'],
    deadlineMs: 45_000,
    quick: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const rules = [{ keys: ['key0'], only: [0], attempts: [1, 2], then: 'fail' }] as const;
      const worker = await kit.worker({
        queue: 'track',
        rules,
        options: { retry: { delaysMs: [5_000, 500], jitter: 0 } },
      });
      await publishMoves(bus, keysOf(5), 10);
      await allHandled(kit, 50, 30_000);
      checkOrder(kit, runsOf([worker]));
      const tries = triesOf(kit, idOf('key0', 0));
      kit.same(
        tries.map(({ attempt }) => attempt),
        [1, 2, 3],
        'the attempts of the failing message',
        [idOf('key0', 0)],
      );
      checkNeverEarly(kit, 'key0', [5_000, 500]);
      for (const key of ['key1', 'key2', 'key3', 'key4']) checkGoesOn(kit, key, tries);
    },
  },
  {
    id: 'order-after-dead-letter',
    guarantee: 'order',
    sentence: 'after a dead letter the successors of its key run, and only once it is stored',
    needs: ['ordering'],
    deadlineMs: 45_000,
    quick: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit, { seam: slowDeadLane });
      const starts: { readonly n: number; readonly at: number }[] = [];
      const handle = ({ sequence }: { readonly sequence: number }): void => {
        starts.push({ n: sequence, at: Date.now() });
        if (sequence === 1) throw new Error('told to fail');
      };
      const handlers = { 'conformance.moved': handle, 'conformance.jumped': handle };
      await bus.consume(track, handlers, { retry: { delaysMs: [300], jitter: 0 } });
      await publishMoves(bus, ['key'], 4);
      await kit.eventually('the last message is handled', () => starts.some(({ n }) => n === 3), 30_000);
      kit.same(
        starts.map(({ n }) => n),
        [0, 1, 1, 2, 3],
        'the order of the attempts',
        [idOf('key', 1), idOf('key', 2)],
      );
      const kept = kit.history.entries.find(
        ({ id, what, detail }) =>
          id === idOf('key', 1) && (what === 'rejected' || (what === 'stored' && detail.includes('#'))),
      );
      kit.check(
        (starts[3]?.at ?? 0) >= (kept?.at ?? Number.POSITIVE_INFINITY),
        'the successor starts after the dead letter is stored',
        [idOf('key', 1), idOf('key', 2)],
      );
      const letters = await kit.letters(bus, track);
      kit.same(
        letters.map(({ id, reason, attempts }) => [id, reason, attempts]),
        [[idOf('key', 1), 'handler-failed', 2]],
        'the dead letters',
      );
    },
  },
  {
    id: 'failing-keys',
    guarantee: 'order',
    sentence:
      'five keys that fail three times, and fill the window with their successors, hold up nobody else, and complete in order, never early',
    needs: ['ordering'],
    deadlineMs: 300_000,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const failing = keysOf(5);
      // What waits behind a failed message takes places as well: these nearly fill the window of 1,000.
      const others = keysOf(50).slice(5);
      const startedAt = Date.now();
      await Promise.all([publishMoves(bus, failing, 180), publishMoves(bus, others, 40)]);
      // Before the last try the others shall be through, on a slow broker too: about as soon as they were published.
      const step = Math.max(1_000, Math.ceil((Date.now() - startedAt) / 2));
      const delaysMs = [step, 2 * step, 4 * step];
      const rules = [{ keys: failing, only: [0], attempts: [1, 2, 3], then: 'fail' }] as const;
      const worker = await kit.worker({ queue: 'track', rules, options: { retry: { delaysMs } } });
      await allHandled(kit, 5 * 180 + 45 * 40, 60_000 + 10 * step);
      checkOrder(kit, runsOf([worker]));
      for (const key of failing) checkNeverEarly(kit, key, delaysMs);
      const lastTry = triesOf(kit, idOf('key0', 0)).at(-1);
      kit.same(lastTry?.attempt, 4, 'attempts of a failing message', [idOf('key0', 0)]);
      const late = kit.reports.filter(({ key, at }) => !failing.includes(key) && at > (lastTry?.at ?? 0));
      kit.same(late.length, 0, 'reports of other keys after key0 waited', late.map(({ id }) => id).slice(0, 3));
      kit.same((await kit.letters(bus, track)).length, 0, 'dead letters');
    },
  },
  {
    id: 'order-take-over',
    guarantee: 'order',
    sentence:
      'when a process dies another takes over its keys in order; where one process works at a time, they take turns',
    needs: ['ordering'],
    faults: ['kill-process'],
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const program = { queue: 'track', rules: [{ then: 'handle', afterMs: 10 }] } as const;
      const settings = { leaseMs: 5_000 };
      const workers = [await kit.worker(program, settings), await kit.worker(program, settings)];
      // One key alone: nothing else could keep both busy.
      await publishMoves(bus, ['solo'], 15);
      await allHandled(kit, 15, 30_000);
      await publishMoves(bus, keysOf(10), 40);
      await allHandled(kit, 115, 30_000);
      const working = workers.toSorted((left, right) => right.reports.length - left.reports.length)[0];
      working?.kill();
      await allHandled(kit, 415, 60_000);
      checkOrder(kit, runsOf(workers));
      checkOneProcess(kit, runsOf(workers));
    },
  },
];

/** Copies to the dead lane take a second longer. */
function slowDeadLane(driver: Driver): Driver {
  return wrapDriver(driver, {
    async send(batch, signal) {
      if (batch.some(({ target }) => 'queue' in target && target.lane === 'dead')) await sleep(1_000);
      await driver.send(batch, signal);
    },
  });
}

function triesOf(kit: Kit, id: string): Kit['reports'] {
  return kit.reports.filter((report) => report.id === id && report.what === 'started');
}

/** The key is handled while the other message waits for its second attempt, or was through before. */
function checkGoesOn(kit: Kit, key: string, tries: Kit['reports']): void {
  const [failedAt = 0, retriedAt = 0] = tries.map(({ at }) => at);
  const times = kit.reports.filter((report) => report.key === key && report.what === 'started').map(({ at }) => at);
  const isThrough = times.every((at) => at < retriedAt);
  kit.check(
    isThrough || times.some((at) => at > failedAt && at < retriedAt),
    `${key} goes on before the second attempt of the message that failed`,
  );
}

function checkNeverEarly(kit: Kit, key: string, delaysMs: readonly number[]): void {
  const id = idOf(key, 0);
  const failures = kit.reports.filter((report) => report.id === id && report.what === 'failed');
  for (const [index, { at }] of triesOf(kit, id).slice(1).entries()) {
    const waited = at - (failures[index]?.at ?? Number.POSITIVE_INFINITY);
    kit.check(
      waited >= (delaysMs[index] ?? 0),
      `attempt ${index + 2} waits ${delaysMs[index] ?? 0} ms, not ${waited}`,
      [id],
    );
  }
}

/** Most keys with a handler running at one time. */
function keysAtOnce(runs: readonly Run[]): number {
  return Math.max(
    ...runs.map(({ started: { at } }) => {
      const running = runs.filter(({ started, ended }) => started.at <= at && (ended?.at ?? at) > at);
      return new Set(running.map(({ started }) => started.key)).size;
    }),
  );
}
