import { Noted } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { checkClose, morePending, publishPending } from './drain-pending.ts';
import { holdsAll, numbersOf, range, sendWork, warmUp } from './lease-handlers.ts';

const LEASE_MS = 10_000;
const SETTINGS = { leaseMs: LEASE_MS };
const CLOSE_MS = 5_000;
const SENTINEL = 101;

export const drainFaults: readonly Scenario[] = [
  {
    id: 'drain-black-holed',
    guarantee: 'drain',
    sentence:
      'close ends within its deadline while the network swallows everything, and what was held reaches another process',
    faults: ['blackHole'],
    deadlineMs: 90_000,
    run: (kit) =>
      drainWithout(
        kit,
        () => kit.faults.blackHole(true),
        () => kit.faults.blackHole(false),
      ),
  },
  {
    id: 'drain-broker-killed',
    guarantee: 'drain',
    sentence: 'close ends within its deadline while the broker is dead, and what was held reaches another process',
    faults: ['down', 'start'],
    deadlineMs: 120_000,
    alone: true,
    run: (kit) =>
      drainWithout(
        kit,
        () => kit.down(),
        () => kit.faults.start(),
      ),
  },
  {
    id: 'drain-broker-paused',
    guarantee: 'drain',
    sentence: 'close ends within its deadline while the broker hangs, and what was held reaches another process',
    faults: ['pause'],
    deadlineMs: 90_000,
    alone: true,
    run: (kit) =>
      drainWithout(
        kit,
        () => kit.faults.pause(true),
        () => kit.faults.pause(false),
      ),
  },
];

/** Closes a consumer with running and unstarted messages, and a bus with pending publishes, while the broker is gone. */
async function drainWithout(kit: Kit, gone: () => Promise<void>, back: () => Promise<void>): Promise<void> {
  const bus = kit.bus();
  await bus.provision();
  const rules = [{ only: range(8), then: 'hang' }] as const;
  const closing = await kit.worker(
    { queue: 'desk', rules, options: { concurrency: 3, retry: { delaysMs: [] } } },
    SETTINGS,
  );
  await warmUp(kit, bus, closing);
  await sendWork(bus, range(8));
  await holdsAll(kit, closing, 8, 3);
  const publisher = kit.bus();
  await publisher.publish(Noted, { n: 100 });
  await gone();
  let notStored: readonly string[];
  try {
    const pending = publishPending(publisher, morePending(kit), 'pending');
    const [tookMs, closed] = await Promise.all([
      closing.close(CLOSE_MS),
      checkClose(kit, publisher, pending, CLOSE_MS),
    ]);
    notStored = closed;
    kit.check(tookMs <= CLOSE_MS + 1_000, `the consumer closes within ${CLOSE_MS} ms, not ${tookMs}`);
    kit.same(numbersOf([closing], 'handled'), [], 'what the closing process handled');
  } finally {
    await back();
  }
  const other = await kit.worker({ queue: 'desk' }, SETTINGS);
  await kit.eventually(
    'another process handles what was held',
    () => numbersOf([other], 'handled').filter((n) => n < 8).length >= 8,
    LEASE_MS + 5_000,
  );
  const sentinel = kit.bus();
  await sentinel.publish(Noted, { n: SENTINEL });
  await kit.eventually('a later publish is handled', () => numbersOf([other], 'handled').includes(SENTINEL), 20_000);
  kit.same(
    other.reports.map(({ id }) => id).filter((id) => notStored.includes(id)),
    [],
    'publishes that were rejected as not stored and arrive',
  );
  const attempts = other.reports.filter(({ n, what }) => n < 8 && what === 'started').map(({ attempt }) => attempt);
  kit.same(
    attempts,
    range(8).map(() => 1),
    'their attempts',
    range(8).map((n) => `work-${n}`),
  );
}
