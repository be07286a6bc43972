import type { Kit } from '../kit.ts';
import { Moved } from '../contracts.ts';
import type { Report } from '../program.ts';
import type { Scenario } from '../scenario.ts';
import type { Worker } from '../worker.ts';
import { Standing } from './attempts-runs.ts';
import { idOf, orderedBus } from './order-runs.ts';
import { noteId, publishNotes } from './retry-helpers.ts';

const LEASE_MS = 10_000;
const SETTINGS = { leaseMs: LEASE_MS };
/** What a killed process held comes again by then. */
const AGAIN_MS = LEASE_MS + 15_000;

export const attemptsFaults: readonly Scenario[] = [
  {
    id: 'attempts-cut',
    guarantee: 'attempts',
    sentence: 'a cut connection is no failure: what was in hand comes again as redelivered, with the attempt it had',
    needs: ['delay', 'admin'],
    faults: ['cut'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      const standing = new Standing();
      await standing.consume(bus);
      await standing.stand(kit, bus);
      await kit.faults.cut();
      await standing.checkUncounted(kit, 15_000);
      for (const [n, id] of standing.ids.entries()) {
        const [, ...again] = standing.runs.filter((run) => run.id === id && run.attempt === n + 1);
        // A broker may keep it ours through a cut.
        const lost = kit.history.entries.some((entry) => entry.what === 'lost' && entry.id === id);
        kit.check(!lost || again.length > 0, `the attempt of ${id} that was lost is repeated`, [id]);
        kit.check(
          again.every(({ redelivered }) => redelivered),
          `the repeated attempt of ${id} is redelivered`,
          [id],
        );
      }
    },
  },
  {
    id: 'attempts-killed',
    guarantee: 'attempts',
    sentence:
      'a process that dies in a handler repeats its attempt, the first as well as a retry, and counts on from it',
    needs: ['delay'],
    faults: ['kill-process'],
    deadlineMs: 90_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const options = { retry: { delaysMs: [100, 100, 100] } };
      const start = (rules: Parameters<Kit['worker']>[0]['rules'] = []): Promise<Worker> =>
        kit.worker({ queue: 'desk', rules, options }, SETTINGS);
      await publishNotes(bus, [0]);
      const first = await start([
        { attempts: [1], then: 'fail' },
        { attempts: [2], then: 'kill', afterMs: 50 },
      ]);
      await first.ended;
      const second = await start([
        { only: [0], attempts: [2], then: 'fail' },
        { only: [1], then: 'kill', afterMs: 50 },
      ]);
      await handled(kit, second, 1);
      await publishNotes(bus, [1]);
      await second.ended;
      const third = await start();
      await handled(kit, third, 1);
      kit.same(
        startedBy(first),
        [
          [noteId(0), 1],
          [noteId(0), 2],
        ],
        'attempts up to the first death',
        [noteId(0)],
      );
      kit.same(
        startedBy(second),
        [
          [noteId(0), 2],
          [noteId(0), 3],
          [noteId(1), 1],
        ],
        'attempts up to the second death',
        [noteId(0), noteId(1)],
      );
      kit.same(startedBy(third), [[noteId(1), 1]], 'attempts after it', [noteId(1)]);
      for (const { reports } of [second, third])
        kit.check(reports[0]?.redelivered === true, 'the repeated attempt is redelivered', [reports[0]?.id ?? '']);
    },
  },
  {
    id: 'attempts-killed-ordered',
    guarantee: 'attempts',
    sentence:
      'on an ordered queue a process that dies with a retry, held or running, leaves it to the next one, where it starts at 1 again',
    needs: ['ordering'],
    faults: ['kill-process'],
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const options = { retry: { delaysMs: [1_000, 100] } };
      const rules = [
        { only: [0], attempts: [1], then: 'fail' },
        { keys: ['running'], only: [0], attempts: [2], then: 'hang' },
      ] as const;
      const dying = await kit.worker({ queue: 'track', rules, options }, SETTINGS);
      const publish = (entity: string): Promise<unknown> =>
        Promise.all([0, 1].map((sequence) => bus.publish(Moved, { entity, sequence }, { id: idOf(entity, sequence) })));
      await publish('running');
      await kit.eventually('a retry runs', () => dying.reports.some(({ attempt }) => attempt === 2), 20_000);
      await publish('held');
      const fails = ({ key, what }: Report): boolean => key === 'held' && what === 'failed';
      await kit.eventually('a retry is held', () => dying.reports.some(fails), 20_000);
      dying.kill();
      await dying.ended;
      const next = await kit.worker({ queue: 'track', rules: rules.slice(0, 1), options }, SETTINGS);
      await handled(kit, next, 4);
      for (const key of ['held', 'running']) {
        const ids = [0, 1].map((sequence) => idOf(key, sequence));
        const started = startedBy(next, ids);
        kit.same(
          started,
          [
            [ids[0], 1],
            [ids[0], 2],
            [ids[1], 1],
          ],
          `attempts of "${key}" after the death`,
          ids,
        );
        const again = next.reports.find(({ id }) => id === ids[0]);
        kit.check(again?.redelivered === true, `the first of "${key}" is redelivered`, ids);
      }
    },
  },
];

/** Resolves once a worker handled so many messages. */
async function handled(kit: Kit, { reports }: Worker, count: number): Promise<void> {
  const ids = (): ReadonlySet<string> => new Set(reports.filter(({ what }) => what === 'handled').map(({ id }) => id));
  await kit.eventually(`${count} messages are handled`, () => ids().size >= count, AGAIN_MS);
}

/** Ids and attempts as they began. A broker may hand out one more than once. */
function startedBy({ reports }: Worker, ids?: readonly string[]): readonly (readonly [string, number])[] {
  const started = reports.filter(({ what, id }) => what === 'started' && (ids?.includes(id) ?? true));
  return started
    .filter(({ id, attempt }, index) => id !== started[index - 1]?.id || attempt !== started[index - 1]?.attempt)
    .map(({ id, attempt }) => [id, attempt]);
}
