import { desk, Moved, Noted, track } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { attemptsOf, PLANNED, PlannedDesk, type Run, runOf, Standing } from './attempts-runs.ts';
import { lettersOnceThere, outlined } from './dead-letter-helpers.ts';
import { idOf, orderedBus } from './order-runs.ts';
import { noteId, range } from './retry-helpers.ts';
import { PricedV1, PricedV2, pricesV1, pricesV2 } from './versions-contracts.ts';

/** Keys of the ordered queue, by how often their first message fails. */
const ORDERED_KEYS = ['never', 'once', 'twice', 'thrice', 'always'] as const;
const ORDERED_DELAYS_MS = [100, 150, 100] as const;

export const attempts: readonly Scenario[] = [
  {
    id: 'attempts-schedule',
    guarantee: 'attempts',
    sentence:
      'attempts start at 1 and grow by 1 with each failure: a throw, RetryLater, a handler out of time, a refused send; a redriven letter starts at 1 again',
    needs: ['delay', 'admin'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ middleware: [PlannedDesk.refusing()] });
      const consumer = new PlannedDesk();
      await consumer.consume(bus);
      await Promise.all(range(0, 10).map((n) => bus.publish(Noted, { n }, { id: noteId(n) })));
      const planned = Object.entries({ ...PLANNED.handled, ...PLANNED.dead });
      const most = 2 * planned.flatMap(([, expected]) => expected).length;
      await kit.eventually('all have ended', () => endedOf(kit, consumer) >= 10 || consumer.runs.length > most, 15_000);
      for (const [n, expected] of planned) sameAttempts(kit, consumer.runs, noteId(Number(n)), expected);
      const letters = await lettersOnceThere(kit, bus, desk, { count: 3, withinMs: 10_000 });
      kit.same(
        outlined(letters),
        [
          [noteId(5), 'handler-failed', 5],
          [noteId(6), 'handler-failed', 5],
          [noteId(9), 'rejected', 2],
        ],
        'a dead letter has the attempts that it had',
      );
      const dead = letters.map(({ id }) => id);
      consumer.runs.length = 0;
      consumer.redriven(dead);
      await bus.redrive(desk);
      await kit.eventually('what was redriven has ended', () => endedOf(kit, consumer) >= 13, 10_000);
      for (const id of dead) sameAttempts(kit, consumer.runs, id, [1, 2, 3]);
    },
  },
  {
    id: 'attempts-schedule-ordered',
    guarantee: 'attempts',
    sentence:
      'on an ordered queue each held retry is one attempt more through the whole schedule, and successors start at 1',
    needs: ['ordering'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const runs: Run[] = [];
      const ended = new Set<string>();
      const handle = (
        { entity, sequence }: { entity: string; sequence: number },
        context: Parameters<typeof runOf>[0],
      ): void => {
        const run = runOf(context);
        runs.push(run);
        const last = context.attempt > ORDERED_DELAYS_MS.length;
        const fails = sequence === 0 && context.attempt <= failuresOf(entity);
        if (!fails || last) ended.add(run.id);
        if (fails) throw new Error(`told to fail at attempt ${context.attempt}`);
      };
      await bus.consume(
        track,
        { 'conformance.moved': handle, 'conformance.jumped': handle },
        { retry: { delaysMs: ORDERED_DELAYS_MS }, timeoutMs: 10_000 },
      );
      for (const sequence of [0, 1, 2])
        await Promise.all(
          ORDERED_KEYS.map((entity) => bus.publish(Moved, { entity, sequence }, { id: idOf(entity, sequence) })),
        );
      await kit.eventually('all have ended', () => ended.size === 3 * ORDERED_KEYS.length || runs.length > 60, 15_000);
      for (const entity of ORDERED_KEYS) {
        const most = Math.min(failuresOf(entity), ORDERED_DELAYS_MS.length) + 1;
        sameAttempts(kit, runs, idOf(entity, 0), range(1, most + 1));
        for (const sequence of [1, 2]) sameAttempts(kit, runs, idOf(entity, sequence), [1]);
      }
      const letters = await lettersOnceThere(kit, bus, track, { count: 1, withinMs: 10_000 });
      kit.same(outlined(letters), [[idOf('always', 0), 'handler-failed', 4]], 'a dead letter has the attempts it had');
    },
  },
  {
    id: 'attempts-closed',
    guarantee: 'attempts',
    sentence: 'a handler that is stopped because its consumer closes has not failed: another process has its attempt',
    needs: ['delay'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const closing = kit.bus({ driver: { leaseMs: 10_000 } });
      const standing = new Standing();
      await standing.consume(closing);
      await standing.stand(kit, closing);
      const other = kit.bus({ driver: { leaseMs: 10_000 } });
      await standing.consume(other);
      await closing.close({ deadlineMs: 3_000 });
      await standing.checkUncounted(kit, 15_000);
    },
  },
  {
    id: 'attempts-unknown-waits',
    guarantee: 'attempts',
    sentence: 'a message that waits for a process which knows its version keeps its attempt, and counts on from there',
    needs: ['delay'],
    deadlineMs: 60_000,
    async run(kit: Kit) {
      const newer = kit.bus({ uses: [pricesV2] });
      const older = kit.bus({ uses: [pricesV1] });
      await newer.provision();
      const runs: Run[] = [];
      const handlers = {
        [PricedV2.type]: (_: unknown, context: Parameters<typeof runOf>[0]) => {
          runs.push(runOf(context));
          if (context.attempt < 3) throw new Error(`told to fail at attempt ${context.attempt}`);
        },
        'conformance.withdrawn': () => undefined,
        'conformance.reprice': () => undefined,
      };
      const options = { retry: { delaysMs: [1_000, 100, 100, 100] } };
      const early = await newer.consume(pricesV2, handlers, options);
      await newer.publish(PricedV2, { sku: 'a', cents: 1, currency: 'eur' }, { id: 'priced' });
      await kit.eventually('it failed once', () => runs.length > 0);
      await early.close();
      const ignorant = await older.consume(pricesV1, { [PricedV1.type]: () => undefined });
      await kit.eventually('it waits', () => kit.events.some(({ name }) => name === 'waits'), 15_000);
      await ignorant.close();
      await newer.consume(pricesV2, handlers, options);
      await kit.eventually('it is run again and again', () => (runs.at(-1)?.attempt ?? 0) >= 3, 15_000);
      sameAttempts(kit, runs, 'priced', [1, 2, 3]);
    },
  },
];

function sameAttempts(kit: Kit, runs: readonly Run[], id: string, expected: readonly number[]): void {
  kit.same(attemptsOf(runs, id), expected, `the attempts of ${id}`, [id]);
}

/** How many messages were handled or given up; one that was redriven counts twice. */
function endedOf({ events }: Kit, { handled }: PlannedDesk): number {
  return handled.size + events.filter(({ name }) => name === 'dead-lettered').length;
}

function failuresOf(key: string): number {
  const failures = ORDERED_KEYS.findIndex((each) => each === key);
  return failures < ORDERED_KEYS.length - 1 ? failures : Number.POSITIVE_INFINITY;
}
