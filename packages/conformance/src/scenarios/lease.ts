import { desk, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { holdsAll, numbersOf, range, sendWork, warmUp } from './lease-handlers.ts';
import { allHandled, checkOrder, idOf, orderedBus, publishMoves, runsOf } from './order-runs.ts';

const LEASE = { leaseMs: 2_000 };

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
      const program = { queue: 'desk', rules: [{ only: range(2), then: 'handle', afterMs: 7_000 }] } as const;
      const workers = [await kit.worker(program, LEASE), await kit.worker(program, LEASE)];
      await sendWork(bus, range(2));
      await kit.eventually('all are handled', () => numbersOf(workers, 'handled').length >= 2, 30_000);
      await sendWork(bus, [10, 11]);
      await kit.eventually('later ones are handled', () => numbersOf(workers, 'handled').length >= 4, 20_000);
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
      const rules = [{ only: range(4), then: 'handle', afterMs: 1_500 }] as const;
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
      const program = {
        queue: 'track',
        rules: [{ only: [0], attempts: [1], then: 'fail' }],
        options: { retry: { delaysMs: [6_500], jitter: 0 } },
      } as const;
      const workers = [await kit.worker(program, LEASE), await kit.worker(program, LEASE)];
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
      kit.same(new Set(runs.map(({ worker }) => worker)).size, 1, 'processes that run the key', [idOf('key', 0)]);
    },
  },
  {
    id: 'frozen-process',
    guarantee: 'lease',
    sentence:
      'what a frozen process held goes to another; thawed, its handlers abort, its late outcomes change nothing, and it consumes on',
    needs: ['admin'],
    faults: ['freeze-process'],
    deadlineMs: 150_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const settings = { leaseMs: 10_000 };
      // Half of them would succeed while frozen, half fail when they are aborted: without retries that is a dead letter.
      const rules = [
        { only: range(5), then: 'handle', afterMs: 8_000 },
        { only: range(5, 5), then: 'hang' },
        { only: range(10, 10), then: 'hang' },
      ] as const;
      const frozen = await kit.worker(
        { queue: 'desk', rules, options: { concurrency: 10, retry: { delaysMs: [] } } },
        settings,
      );
      await warmUp(kit, bus, frozen);
      await sendWork(bus, range(20));
      await holdsAll(kit, frozen, 20, 10);
      frozen.freeze(true);
      const other = await kit.worker({ queue: 'desk' }, settings);
      await kit.eventually(
        'another process succeeds on all 20',
        () => numbersOf([other], 'handled').length >= 20,
        60_000,
      );
      frozen.freeze(false);
      const thawedAt = Date.now();
      const ended = (): boolean => numbersOf([frozen], 'aborted').length + numbersOf([frozen], 'handled').length >= 10;
      await kit.eventually('its handlers end within 5 s', ended, 5_000);
      kit.check(
        numbersOf([frozen], 'aborted').length >= 5,
        'its signals abort',
        range(10).map((n) => `work-${n}`),
      );
      await kit.eventually('10 s have passed', () => Date.now() > thawedAt + 10_000, 15_000);
      const { ready, deadLettered } = await bus.depth(desk);
      kit.same([ready, deadLettered], [0, 0], 'ready and dead 10 s later');
      kit.same(
        [numbersOf([frozen], 'started').length, numbersOf([other], 'started').length],
        [10, 20],
        'the attempts of both',
        range(20).map((n) => `work-${n}`),
      );
      await other.close();
      await bus.send(desk, Work, { n: 30 });
      await kit.eventually('it goes on consuming', () => numbersOf([frozen], 'handled').includes(30), 20_000);
    },
  },
];
