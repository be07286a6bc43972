import type { Bus } from '@waybill/core';
import { desk } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import type { Worker } from '../worker.ts';
import { holdsAll, leaseOf, leasesAreOver, numbersOf, range, sendWork, warmUp, warmUpBoth } from './lease-handlers.ts';
import { allHandled, checkOrder, idOf, orderedBus, publishMoves, runsOf } from './order-runs.ts';

/** No broker's least is longer. */
const LEASE = { leaseMs: 5_000 };
/** How long handlers run where leases have no clock. */
const SLOW_MS = 7_000;

export const lease: readonly Scenario[] = [
  {
    id: 'lease-outlived',
    guarantee: 'lease',
    sentence: 'a handler that runs for more than three leases keeps its message: nobody else gets it',
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const leaseMs = await leaseOf(kit, LEASE);
      const afterMs = leaseMs === undefined ? SLOW_MS : 3.1 * leaseMs;
      const program = { queue: 'desk', rules: [{ only: range(2), then: 'handle', afterMs }] } as const;
      const workers = await Promise.all([kit.worker(program, LEASE), kit.worker(program, LEASE)]);
      await sendWork(bus, range(2));
      await kit.eventually('all are handled', () => numbersOf(workers, 'handled').length >= 2, 30_000);
      await sendWork(bus, [10, 11]);
      await kit.eventually('later ones are handled', () => numbersOf(workers, 'handled').length >= 4, 20_000);
      await leasesAreOver(kit, leaseMs);
      kit.same(
        numbersOf(workers, 'started'),
        [...range(2), 10, 11],
        'the attempts',
        range(2).map((n) => `work-${n}`),
      );
    },
  },
  {
    id: 'lease-unstarted-kept',
    guarantee: 'lease',
    sentence: 'what waits in a process for a free handler keeps its lease as well',
    deadlineMs: 60_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const leaseMs = await leaseOf(kit, LEASE);
      // The last one waits for more than two leases.
      const afterMs = leaseMs === undefined ? 1_500 : 0.75 * leaseMs;
      const rules = [{ only: range(4), then: 'handle', afterMs }] as const;
      const holder = await kit.worker({ queue: 'desk', rules, options: { concurrency: 1 } }, LEASE);
      await warmUp(kit, bus, holder);
      await sendWork(bus, range(4));
      await holdsAll(kit, holder, 4, 1);
      const other = await kit.worker({ queue: 'desk' }, LEASE);
      const workers = [holder, other];
      await kit.eventually('all are handled', () => new Set(numbersOf(workers, 'handled')).size >= 4, 30_000);
      await sendWork(bus, [10]);
      await kit.eventually('a later one is handled', () => numbersOf(workers, 'handled').includes(10), 20_000);
      kit.same(
        numbersOf([holder], 'started').filter((n) => n < 10),
        range(4),
        'the attempts of the process that held them',
        range(4).map((n) => `work-${n}`),
      );
      kit.same(
        numbersOf([other], 'started').filter((n) => n < 10),
        [],
        'the attempts of the other',
        range(4).map((n) => `work-${n}`),
      );
    },
  },
  {
    id: 'lease-held-retry',
    guarantee: 'lease',
    sentence: 'a held retry that waits for three leases stays in its process and counts on',
    needs: ['ordering'],
    deadlineMs: 60_000,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const leaseMs = await leaseOf(kit, LEASE);
      const program = {
        queue: 'track',
        rules: [{ only: [0], attempts: [1], then: 'fail' }],
        options: { retry: { delaysMs: [leaseMs === undefined ? SLOW_MS : 3.1 * leaseMs], jitter: 0 } },
      } as const;
      const workers = await Promise.all([kit.worker(program, LEASE), kit.worker(program, LEASE)]);
      await publishMoves(bus, ['key'], 3);
      await allHandled(kit, 3, 30_000);
      const runs = runsOf(workers);
      checkOrder(kit, runs);
      const tries = runs.filter(({ started: { id } }) => id === idOf('key', 0));
      kit.same(
        tries.map(({ started: { attempt } }) => attempt),
        [1, 2],
        'the attempts',
        [idOf('key', 0)],
      );
      // Between two messages a key may go to another process.
      kit.same(new Set(tries.map(({ worker }) => worker)).size, 1, 'processes that run it', [idOf('key', 0)]);
    },
  },
  {
    id: 'frozen-process',
    guarantee: 'lease',
    sentence:
      'what a frozen process held goes to another; thawed, its handlers abort, its late outcomes change nothing, and it consumes on',
    needs: ['admin'],
    faults: ['freeze-process'],
    deadlineMs: 180_000,
    run: frozenProcess,
  },
];

const FROZEN_LEASE = { leaseMs: 10_000 };

async function frozenProcess(kit: Kit): Promise<void> {
  const bus = kit.bus();
  await bus.provision();
  // Half of those that run would succeed while frozen, half fail when aborted: without retries that is a dead letter.
  const slow = { only: SLOW, redelivered: false, then: 'handle', afterMs: 8_000 } as const;
  const stuck = { only: STUCK, redelivered: false, then: 'hang' } as const;
  const options = { concurrency: 10, retry: { delaysMs: [] } };
  const frozen = await kit.worker({ queue: 'desk', rules: [slow, stuck], options }, FROZEN_LEASE);
  // What it gets first it handles at once; what was the other's runs until it is killed.
  const heir = { only: range(SENT_AT_MOST), redelivered: true, then: 'hang' } as const;
  const other = await kit.worker({ queue: 'desk', rules: [heir], options: { concurrency: 20 } }, FROZEN_LEASE);
  await warmUpBoth(kit, bus, [frozen, other]);
  const held = await fill(kit, bus, [frozen, other], 20);
  const ids = held.map((n) => `work-${n}`);
  frozen.freeze(true);
  await kit.eventually(
    'the other process runs all 20',
    () => held.every((n) => numbersOf([other], 'started').includes(n)),
    60_000,
  );
  const before = await bus.depth(desk);
  frozen.freeze(false);
  const thawedAt = Date.now();
  const ended = (): boolean => numbersOf([frozen], 'aborted').length + numbersOf([frozen], 'handled').length >= 10;
  await kit.eventually('its handlers end within 5 s', ended, 5_000);
  const stuckOnes = numbersOf([frozen], 'started').filter((n) => STUCK.includes(n));
  kit.check(stuckOnes.length > 0 && stuckOnes.length < 10, 'of those that ran some would succeed and some would fail');
  kit.check(
    stuckOnes.every((n) => numbersOf([frozen], 'aborted').includes(n)),
    'its signals abort',
    ids,
  );
  await kit.eventually('10 s have passed', () => Date.now() > thawedAt + 10_000, 15_000);
  const after = await bus.depth(desk);
  kit.same([after.ready, after.deadLettered], [before.ready, before.deadLettered], 'ready and dead 10 s later');
  kit.same(after.deadLettered, 0, 'dead letters', ids);
  kit.same(numbersOf([frozen], 'started').length, 10, 'attempts of the process that was frozen', ids);
  kit.same(
    numbersOf([other], 'started').filter((n) => held.includes(n)).length,
    20,
    'attempts of the other process',
    ids,
  );
  // Had a late outcome settled any of them, nobody would get it now.
  other.kill();
  await other.ended;
  const third = await kit.worker({ queue: 'desk' }, FROZEN_LEASE);
  const missing = (): readonly number[] => held.filter((n) => !again([frozen, third]).includes(n));
  await kit
    .eventually('the others get all 20', () => missing().length === 0, FROZEN_LEASE.leaseMs + 20_000)
    .catch(() => undefined);
  kit.same(
    missing(),
    [],
    'what nobody gets once the other process is dead',
    missing().map((n) => `work-${n}`),
  );
  kit.same((await kit.letters(bus, desk)).length, 0, 'dead letters at the end', ids);
  await third.close();
  await sendWork(bus, [SENT_AT_MOST]);
  await kit.eventually('it goes on consuming', () => numbersOf([frozen], 'handled').includes(SENT_AT_MOST), 20_000);
}

/** Two processes share what is sent: more than the 20 that one of them has to hold. */
const SENT_AT_MOST = 500;
/** In pairs: a broker that takes turns gives each process some of both. */
const SLOW = range(SENT_AT_MOST).filter((n) => n % 4 < 2);
const STUCK = range(SENT_AT_MOST).filter((n) => n % 4 >= 2);

/** Sends until the first process holds `count`; the other one has handled the rest. Resolves with the numbers it holds. */
async function fill(
  kit: Kit,
  bus: Bus,
  [worker, other]: readonly [Worker, Worker],
  count: number,
): Promise<readonly number[]> {
  let sent = 0;
  for (let held = 0; held < count; held = await worker.held()) {
    const until = sent + count - held;
    kit.check(until <= SENT_AT_MOST, `the process gets ${count} of ${sent} messages`);
    await sendWork(bus, range(until - sent, sent));
    sent = until;
    const all = async (): Promise<boolean> => (await worker.held()) + numbersOf([other], 'handled').length === until;
    await kit.eventually('all that was sent is held or handled', all, 20_000);
  }
  const handled = numbersOf([other], 'handled');
  return range(sent).filter((n) => !handled.includes(n));
}

/** What was handed out again and handled. */
function again(workers: readonly Worker[]): readonly number[] {
  return workers
    .flatMap(({ reports }) => reports)
    .filter(({ what, redelivered }) => what === 'handled' && redelivered)
    .map(({ n }) => n);
}
