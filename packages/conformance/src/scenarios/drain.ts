import type { Driver } from '@waybill/core';
import { desk, Noted } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { wrapDriver } from '../wrap-driver.ts';
import { checkClose, morePending, publishPending } from './drain-pending.ts';
import { holdsAll, leaseOf, leasesAreOver, numbersOf, range, sendWork, warmUp } from './lease-handlers.ts';
import { allHandled, checkOrder, idOf, orderedBus, publishMoves, runsOf } from './order-runs.ts';

const LEASE_MS = 10_000;
const SETTINGS = { leaseMs: LEASE_MS };

export const drain: readonly Scenario[] = [
  {
    id: 'drain-running',
    guarantee: 'drain',
    sentence: 'close waits for the handlers that run, and what they did is not done again',
    deadlineMs: 45_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const settings = { leaseMs: 5_000 };
      const leaseMs = await leaseOf(kit, settings);
      const rules = [{ only: range(3), then: 'handle', afterMs: 1_500 }] as const;
      const closing = await kit.worker({ queue: 'desk', rules }, settings);
      await warmUp(kit, bus, closing);
      await sendWork(bus, range(3));
      await kit.eventually('three handlers run', () => numbersOf([closing], 'started').length >= 3);
      const tookMs = await closing.close(10_000);
      kit.check(tookMs <= 10_000, `close ends within 10 s, not ${tookMs} ms`);
      kit.same(
        numbersOf([closing], 'handled'),
        range(3),
        'what it handled',
        range(3).map((n) => `work-${n}`),
      );
      const other = await kit.worker({ queue: 'desk' }, settings);
      await leasesAreOver(kit, leaseMs);
      await sendWork(bus, [10]);
      await kit.eventually('another process takes over', () => numbersOf([other], 'handled').includes(10), 20_000);
      kit.same(
        numbersOf([other], 'started'),
        [10],
        'what is left to the other',
        range(3).map((n) => `work-${n}`),
      );
    },
  },
  {
    id: 'drain-unstarted',
    guarantee: 'drain',
    sentence: 'what a closing process holds and did not start reaches another within one lease + 5 s, and runs once',
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      // None ends between a look at what has started and the close.
      const rules = [{ only: range(10), then: 'handle', afterMs: 4_000 }] as const;
      const closing = await kit.worker({ queue: 'desk', rules, options: { concurrency: 3 } }, SETTINGS);
      await warmUp(kit, bus, closing);
      await sendWork(bus, range(10));
      await holdsAll(kit, closing, 10, 3);
      const other = await kit.worker({ queue: 'desk' }, SETTINGS);
      const held = 10 - numbersOf([closing], 'started').length;
      const closesAt = Date.now();
      await closing.close(10_000);
      kit.check(
        numbersOf([closing], 'started').length === 10 - held,
        'a closing process starts nothing more',
        range(10).map((n) => `work-${n}`),
      );
      await kit.eventually(
        'the other handles the rest',
        () => numbersOf([other], 'handled').length >= held,
        closesAt + LEASE_MS + 5_000 - Date.now(),
      );
      kit.same(
        numbersOf([closing, other], 'started'),
        range(10),
        'all attempts',
        range(10).map((n) => `work-${n}`),
      );
    },
  },
  {
    id: 'drain-held-retries',
    guarantee: 'drain',
    sentence: 'close waits neither for held retries nor for successors: they go to another process in order',
    needs: ['ordering'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const rules = [
        { keys: ['a', 'b'], only: [0], attempts: [1], then: 'fail' },
        { keys: ['c'], then: 'handle', afterMs: 400 },
      ] as const;
      const closing = await kit.worker({ queue: 'track', rules, options: { retry: { delaysMs: [60_000] } } }, SETTINGS);
      await Promise.all([publishMoves(bus, ['a', 'b'], 3), publishMoves(bus, ['c'], 40)]);
      await kit.eventually(
        'two retries are held',
        () => closing.reports.filter(({ what }) => what === 'failed').length >= 2,
        20_000,
      );
      const other = await kit.worker({ queue: 'track' }, SETTINGS);
      const tookMs = await closing.close(20_000);
      kit.check(tookMs <= 5_000, `close ends at once, not after ${tookMs} ms`);
      await allHandled(kit, 46, LEASE_MS + 5_000);
      checkOrder(kit, runsOf([closing, other]));
      const tries = other.reports.filter(({ key, n, what }) => key !== 'c' && n === 0 && what === 'started');
      kit.same(
        tries.map(({ attempt }) => attempt),
        [1, 1],
        'their attempts start again at 1',
        [idOf('a', 0), idOf('b', 0)],
      );
    },
  },
  {
    id: 'drain-overdue',
    guarantee: 'drain',
    sentence: 'handlers have four fifths of the deadline; then their signals abort, and their attempts did not fail',
    deadlineMs: 45_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const options = { retry: { delaysMs: [] } };
      const closing = await kit.worker({ queue: 'desk', rules: [{ only: [0], then: 'hang' }], options }, SETTINGS);
      await sendWork(bus, [0]);
      await kit.eventually('its handler runs', () => numbersOf([closing], 'started').length > 0);
      const other = await kit.worker({ queue: 'desk' }, SETTINGS);
      const closesAt = Date.now();
      const tookMs = await closing.close(5_000);
      kit.check(tookMs <= 6_000, `close ends within its 5 s and what a process needs to end, not ${tookMs} ms`);
      const aborted = closing.reports.find(({ what }) => what === 'aborted');
      kit.check(aborted !== undefined, 'its signal aborts', ['work-0']);
      const abortedAfterMs = aborted.at - closesAt;
      kit.check(
        abortedAfterMs >= 3_950 && abortedAfterMs <= 4_700,
        `the signal aborts after 4 s, not ${abortedAfterMs} ms`,
        ['work-0'],
      );
      await kit.eventually('another handles it', () => numbersOf([other], 'handled').length > 0, LEASE_MS + 5_000);
      kit.same(
        other.reports.map(({ attempt }) => attempt),
        [1, 1],
        'its attempt',
        ['work-0'],
      );
      kit.same((await kit.letters(bus, desk)).length, 0, 'dead letters', ['work-0']);
    },
  },
  {
    id: 'drain-publishes',
    guarantee: 'drain',
    sentence:
      'close flushes what the broker takes; what it does not take is rejected by then, CLOSED only where it was never sent',
    deadlineMs: 30_000,
    quick: true,
    async run(kit: Kit) {
      const flushing = kit.bus();
      await flushing.provision();
      const flushed = range(50).map((n) => flushing.publish(Noted, { n }, { id: `flushed-${n}` }));
      await flushing.close({ deadlineMs: 10_000 });
      await Promise.all(flushed);
      const stuck = { on: false, calls: 0 };
      const bus = kit.bus({ seam: (driver) => stuckSends(driver, stuck) });
      await bus.publish(Noted, { n: 0 }, { id: 'stored' });
      stuck.on = true;
      const open = publishPending(bus, 20, 'open');
      await kit.eventually('sends are open', () => stuck.calls > 0);
      await checkClose(kit, bus, [...open, ...publishPending(bus, morePending(kit), 'waiting')], 2_000);
      await kit.rejects(bus.publish(Noted, { n: 0 }), 'CLOSED', 'a publish after close');
    },
  },
];

/** While on, the driver never comes back from a send, and stores nothing. */
function stuckSends(driver: Driver, stuck: { on: boolean; calls: number }): Driver {
  return wrapDriver(driver, {
    send(batch, signal) {
      if (!stuck.on) return driver.send(batch, signal);
      stuck.calls += 1;
      return new Promise(() => undefined);
    },
  });
}
