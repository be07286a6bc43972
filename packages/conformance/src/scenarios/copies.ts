import type { Bus } from '@waybill/core';
import { archive, desk, Noted, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Report } from '../program.ts';
import type { Scenario } from '../scenario.ts';
import type { Worker } from '../worker.ts';
import { checkOneProcess, checkOrder, keysOf, orderedBus, publishMoves, type Run, runsOf } from './order-runs.ts';
import { noteId, publishNotes, range } from './retry-helpers.ts';

const LEASE = { leaseMs: 5_000 };
const USES = [Noted, desk, archive] as const;

export const copies: readonly Scenario[] = [
  {
    id: 'copies-each-queue',
    guarantee: 'copies',
    sentence:
      'each queue that is bound to a topic gets its own copy of every event; what is sent to one queue reaches only that',
    needs: ['admin'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: USES });
      await bus.provision();
      await publishNotes(bus, range(0, 30));
      await Promise.all(range(100, 110).map((n) => bus.send(desk, Work, { n }, { id: `work-${n}` })));
      await becomesReady(kit, bus, [40, 30]);
      const clerk = await kit.worker({ queue: 'desk' });
      await handled(kit, [clerk], 40);
      await becomesReady(kit, bus, [0, 30]);
      const keeper = await kit.worker({ queue: 'archive' });
      await handled(kit, [keeper], 30);
      kit.same(startedBy([clerk]), [...range(0, 30), ...range(100, 110)], 'what one queue gets');
      kit.same(startedBy([keeper]), range(0, 30), 'what the other queue gets');
      const touched = [...clerk.reports, ...keeper.reports].filter(({ redelivered }) => redelivered);
      kit.same([...new Set(touched.map(({ id }) => id))], [], 'copies that were handed out before');
    },
  },
  {
    id: 'copies-shared-work',
    guarantee: 'copies',
    sentence:
      'the processes of one consumer share its messages: each is handled once, by one of them, and none is left idle',
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: USES });
      await bus.provision();
      const program = { queue: 'desk', rules: [{ then: 'handle', afterMs: 60 }], options: { concurrency: 2 } } as const;
      const workers = await Promise.all(range(0, 3).map(() => kit.worker(program)));
      await publishNotes(bus, range(0, 90));
      await handled(kit, workers, 90);
      kit.same(startedBy(workers), range(0, 90), 'all attempts of all processes');
      const shares = workers.map((worker) => startedBy([worker]).length);
      kit.check(
        shares.every((share) => share > 0),
        `each process gets some of 90 messages: ${shares.join(', ')}`,
      );
    },
  },
  {
    id: 'copies-ordered-turns',
    guarantee: 'copies',
    sentence:
      'the processes of an ordered consumer share it by key where the broker can, and take turns where it cannot; when one closes the other goes on',
    needs: ['ordering'],
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const program = {
        queue: 'track',
        rules: [{ then: 'handle', afterMs: 15 }],
        options: { concurrency: 4 },
      } as const;
      const workers = await Promise.all(range(0, 2).map(() => kit.worker(program, LEASE)));
      await publishMoves(bus, keysOf(60), 3);
      await handled(kit, workers, 180);
      // Both processes have all their places by now, and both wait.
      await publishMoves(bus, keysOf(12, 'next'), 5);
      await handled(kit, workers, 240);
      const shared = runsOf(workers);
      const busy = new Set(shared.map(({ worker }) => worker));
      const byKey = kit.capabilities.ordering === 'key';
      kit.check(!byKey || busy.size === 2, 'both processes work where keys can be shared out');
      const last = lastOf(shared);
      const [closing, other] = workers.toSorted((left) => (left.name === last ? -1 : 1)) as [Worker, Worker];
      await closing.close();
      await publishMoves(bus, keysOf(24, 'late'), 2);
      await handled(kit, workers, 240 + 48);
      const runs = runsOf(workers);
      checkOrder(kit, runs);
      checkOneProcess(kit, runs);
      kit.same(runs.length, 240 + 48, 'attempts of both processes');
      const late = runs.filter(({ started }) => started.key.startsWith('late'));
      kit.same([...new Set(late.map(({ worker }) => worker))], [other.name], 'who works after one has closed');
    },
  },
  {
    id: 'copies-fail-alone',
    guarantee: 'copies',
    sentence: 'failures, retries and dead letters of one queue leave the copies of the other as they are',
    needs: ['delay', 'admin'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: USES });
      await bus.provision();
      const fails = range(0, 30).filter((n) => n % 3 === 1);
      const rejects = range(0, 30).filter((n) => n % 3 === 2);
      const clerk = await kit.worker({
        queue: 'desk',
        rules: [
          { only: fails, attempts: [1, 2], then: 'fail' },
          { only: rejects, then: 'reject' },
        ],
        options: { retry: { delaysMs: [100, 100] } },
      });
      const keeper = await kit.worker({ queue: 'archive' });
      await publishNotes(bus, range(0, 30));
      await handled(kit, [clerk], 20);
      await handled(kit, [keeper], 30);
      await kit.eventually('ten are dead letters', async () => (await kit.letters(bus, desk)).length >= 10, 15_000);
      await publishNotes(bus, [99]);
      await handled(kit, [keeper], 31);
      kit.same(startedBy([keeper]), [...range(0, 30), 99], 'attempts of the other queue');
      kit.same(
        keeper.reports.filter(({ attempt }) => attempt !== 1).map(({ id }) => id),
        [],
        'messages of the other queue whose attempt is counted',
      );
      kit.same((await kit.letters(bus, archive)).length, 0, 'dead letters of the other queue');
      kit.same(
        (await kit.letters(bus, desk)).map(({ id }) => id).toSorted(),
        rejects.map(noteId).toSorted(),
        'dead letters of the queue that fails',
      );
    },
  },
  {
    id: 'copies-one-killed',
    guarantee: 'copies',
    sentence: 'when a process of one consumer is killed the other consumer notices nothing, and no queue lacks a copy',
    faults: ['kill-process'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: USES });
      await bus.provision();
      const clerk = await kit.worker(
        { queue: 'desk', rules: [{ only: [30, 31], then: 'hang' }], options: { concurrency: 4 } },
        LEASE,
      );
      const keeper = await kit.worker(
        { queue: 'archive', rules: [{ then: 'handle', afterMs: 40 }], options: { concurrency: 4 } },
        LEASE,
      );
      await publishNotes(bus, range(0, 30));
      await handled(kit, [clerk, keeper], 60);
      await publishNotes(bus, range(30, 150));
      const hang = (): boolean => [30, 31].every((n) => startedBy([clerk]).includes(n));
      await kit.eventually('handlers of one consumer hang', hang, 15_000);
      clerk.kill();
      await clerk.ended;
      const heir = await kit.worker({ queue: 'desk' }, LEASE);
      const missing = (): readonly number[] => {
        const seen = new Set([clerk, heir].flatMap((worker) => numbers([worker], 'handled')));
        return range(0, 150).filter((n) => !seen.has(n));
      };
      await kit
        .eventually('none is missing', () => missing().length === 0, LEASE.leaseMs + 10_000)
        .catch(() => undefined);
      kit.same(missing(), [], 'copies that the killed consumer lacks', missing().slice(0, 3).map(noteId));
      await handled(kit, [keeper], 150);
      kit.same(startedBy([keeper]), range(0, 150), 'attempts of the other consumer');
      kit.same(
        keeper.reports.filter(({ redelivered }) => redelivered).length,
        0,
        'its copies that were handed out again',
      );
    },
  },
];

const numbers = (workers: readonly Worker[], what: Report['what']): readonly number[] =>
  workers.flatMap(({ reports }) => reports.filter((report) => report.what === what).map(({ n }) => n));
const count = (workers: readonly Worker[], what: Report['what']): number => numbers(workers, what).length;
const startedBy = (workers: readonly Worker[]): readonly number[] =>
  numbers(workers, 'started').toSorted((left, right) => left - right);

async function handled(kit: Kit, workers: readonly Worker[], atLeast: number): Promise<void> {
  await kit.eventually(`${atLeast} are handled`, () => count(workers, 'handled') >= atLeast, 15_000);
}

/** How many wait in desk and in archive. */
async function becomesReady(kit: Kit, bus: Bus, expected: readonly number[]): Promise<void> {
  const look = async (): Promise<readonly number[]> => [
    (await bus.depth(desk)).ready,
    (await bus.depth(archive)).ready,
  ];
  const same = async (): Promise<boolean> => JSON.stringify(await look()) === JSON.stringify(expected);
  await kit.eventually('depths are true', same, kit.harness.depthWithinMs ?? 90_000).catch(() => undefined);
  kit.same(await look(), expected, 'messages that wait in each queue');
}

/** The process whose handler ended last. */
function lastOf(runs: readonly Run[]): string | undefined {
  return runs.toSorted((left, right) => (right.ended?.at ?? 0) - (left.ended?.at ?? 0))[0]?.worker;
}
