import { RetryLater } from '@waybill/core';
import { desk, Moved, Noted, track } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Report } from '../program.ts';
import type { Scenario } from '../scenario.ts';
import { CRASHING, killTwice, repeatsHeld } from './copy-window.ts';
import { type Asked, watchDelays } from './delay-arrivals.ts';
import {
  allHandled,
  EARLY_MS,
  earlyMs,
  LATE_MS,
  NOTE,
  noteId,
  publishNotes,
  quiet,
  range,
  REPEATS_PER_SLOT,
  reportsOf,
} from './retry-helpers.ts';

const DEFAULT_DELAYS_MS = [1_000, 5_000, 30_000, 300_000] as const;
const JITTER = 0.2;
const JITTERED = range(20, 32);

export const retry: readonly Scenario[] = [
  {
    id: 'retry-schedule',
    guarantee: 'retry',
    sentence: 'by default there are 5 attempts, 1 s, 5 s, 30 s and 5 min apart, with up to 20 % of jitter',
    needs: ['delay'],
    deadlineMs: 40_000,
    quick: true,
    async run(kit: Kit) {
      const asked: Asked[] = [];
      const bus = kit.bus({ seam: (driver) => watchDelays(driver, asked) });
      const started = new Map<string, number>();
      // Message n takes the default delay behind attempt n, and none behind the others. The jittered take the first.
      await bus.consume(desk, {
        'conformance.work': () => undefined,
        'conformance.noted': ({ n }, { attempt }) => {
          started.set(`${n}/${attempt}`, Date.now());
          if (JITTERED.includes(n) && attempt > 1) return;
          if (attempt === n || JITTERED.includes(n)) throw new Error('takes the default delay');
          throw new RetryLater(0);
        },
      });
      await publishNotes(bus, [...range(1, 6), ...JITTERED]);
      const ended = await kit.eventually(
        'those with short delays are dead letters',
        () => lettersOf(kit, bus, 3),
        25_000,
      );
      kit.same(
        ended,
        [
          [1, 5],
          [2, 5],
          [5, 5],
        ],
        'a message is a dead letter after its attempt 5, and no other is',
        [1, 2, 5].map(noteId),
      );
      for (const [index, delayMs] of DEFAULT_DELAYS_MS.entries()) {
        const n = index + 1;
        const planned = plannedDelay(kit, noteId(n), n + 1);
        kit.check(
          planned >= delayMs && planned <= delayMs * (1 + JITTER),
          `retry ${n} is due after ${delayMs} ms and up to 20 %: ${planned}`,
          [noteId(n)],
        );
        const copy = asked.find(({ id, aheadMs }) => id.startsWith(`${noteId(n)}#a${n + 1}`) && aheadMs > 0);
        const least = Math.min(delayMs, kit.capabilities.maxDelayMs) - EARLY_MS;
        kit.check((copy?.aheadMs ?? 0) >= least, `its copy is stored for ${least} ms ahead: ${copy?.aheadMs}`, [
          noteId(n),
        ]);
        // The others are not waited for.
        if (n > 2) continue;
        const gap = (started.get(`${n}/${n + 1}`) ?? Number.NaN) - (started.get(`${n}/${n}`) ?? Number.NaN);
        kit.check(gap >= delayMs - earlyMs(kit), `retry ${n} is not early: it came after ${gap} ms`, [noteId(n)]);
      }
      const planned = JITTERED.map((n) => plannedDelay(kit, noteId(n), 2));
      kit.check(
        planned.every((delayMs) => delayMs >= 1_000 && delayMs <= 1_000 * (1 + JITTER)) && new Set(planned).size > 1,
        `retries of one schedule differ by their jitter: ${planned.join(', ')}`,
        JITTERED.slice(0, 3).map(noteId),
      );
    },
  },
  {
    id: 'retry-never-early',
    guarantee: 'retry',
    sentence: 'a retry never comes before its delay, and on an idle queue late only by what the driver declares',
    needs: ['delay'],
    deadlineMs: 40_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      const delaysMs = [700, 1_500];
      await kit.worker({
        queue: 'desk',
        rules: [{ attempts: [1, 2], then: 'fail' }],
        options: { retry: { delaysMs } },
      });
      await publishNotes(bus, range(0, 30));
      await allHandled(kit, range(0, 30), 20_000);
      const failed = new Map(reportsOf(kit, 'failed').map((report) => [`${report.n}/${report.attempt}`, report.at]));
      for (const { n, attempt, at } of reportsOf(kit, 'started').filter((report) => report.attempt > 1)) {
        const delayMs = delaysMs[attempt - 2] ?? 0;
        const gap = at - (failed.get(`${n}/${attempt - 1}`) ?? Number.POSITIVE_INFINITY);
        kit.check(
          gap >= delayMs - earlyMs(kit),
          `attempt ${attempt} comes not before ${delayMs} ms: it came after ${gap}`,
          [noteId(n)],
        );
        const latest = delayMs * (1 + JITTER) + kit.capabilities.delayErrorMs + LATE_MS;
        kit.check(gap <= latest, `attempt ${attempt} comes within ${latest} ms: it came after ${gap}`, [noteId(n)]);
      }
      kit.same(reportsOf(kit, 'handled').length, 30, 'each message is handled once');
    },
  },
  {
    id: 'retry-holds-no-slot',
    guarantee: 'retry',
    sentence: 'messages that wait for their retry leave the one slot and all places of the window to others',
    needs: ['delay'],
    deadlineMs: 40_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const failing = range(0, 12);
      await publishNotes(bus, failing);
      await publishNotes(bus, range(12, 60));
      await kit.worker({
        queue: 'desk',
        rules: [{ only: failing, attempts: [1], then: 'fail' }],
        options: { concurrency: 1, retry: { delaysMs: [6_000] } },
      });
      await allHandled(kit, range(0, 60), 25_000);
      othersFirst(kit, (report) => report.n >= 12);
    },
  },
  {
    id: 'retry-holds-no-slot-ordered',
    guarantee: 'retry',
    sentence: 'on an ordered queue keys whose message waits for its retry leave the one slot to the other keys',
    needs: ['ordering'],
    deadlineMs: 40_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [track] });
      await bus.provision();
      const failing = range(0, 12).map((index) => `failing-${index}`);
      const others = range(0, 40).map((index) => `other-${index}`);
      for (const sequence of [1, 2])
        await Promise.all([...failing, ...others].map((entity) => bus.publish(Moved, { entity, sequence })));
      await kit.worker({
        queue: 'track',
        rules: [{ keys: failing, only: [1], attempts: [1], then: 'fail' }],
        options: { concurrency: 1, retry: { delaysMs: [6_000] } },
      });
      await kit.eventually('all are handled', () => reportsOf(kit, 'handled').length >= 104, 25_000);
      othersFirst(kit, (report) => report.key.startsWith('other-'));
      for (const key of failing) {
        const handled = reportsOf(kit, 'handled').filter((report) => report.key === key);
        kit.same(
          handled.map(({ n, attempt }) => [n, attempt]),
          [
            [1, 2],
            [2, 1],
          ],
          `"${key}" is handled in order`,
          handled.map(({ id }) => id),
        );
      }
    },
  },
  {
    id: 'retry-later',
    guarantee: 'retry',
    sentence: 'RetryLater replaces the delay of the schedule, and is a failed attempt like any other',
    needs: ['delay'],
    deadlineMs: 30_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      const started: number[] = [];
      await bus.consume(
        desk,
        {
          'conformance.work': () => undefined,
          'conformance.noted': () => {
            started.push(Date.now());
            throw new RetryLater(started.length === 1 ? 2_500 : 0);
          },
        },
        { retry: { delaysMs: [200, 60_000] } },
      );
      await bus.publish(Noted, { n: 0 }, { id: noteId(0) });
      const [letter] = await kit.eventually(
        'it is a dead letter',
        async () => {
          const letters = await kit.letters(bus, desk);
          return letters.length > 0 ? letters : undefined;
        },
        20_000,
      );
      kit.same(
        [letter?.reason, letter?.attempts, started.length],
        ['handler-failed', 3, 3],
        'three attempts, as the schedule says',
        [noteId(0)],
      );
      const gap = (started[1] ?? 0) - (started[0] ?? 0);
      kit.check(gap >= 2_500 - earlyMs(kit), `the first retry comes not before 2500 ms: it came after ${gap}`, [
        noteId(0),
      ]);
    },
  },
  {
    id: 'retry-copy-window',
    guarantee: 'retry',
    sentence:
      'processes killed between a retry copy and the settlement of its source lose nothing, and repeat at most what they held',
    needs: ['delay', 'admin'],
    faults: ['kill-process'],
    deadlineMs: 120_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const held = REPEATS_PER_SLOT * CRASHING.concurrency;
      const retryMs = 1_000;
      const program = {
        queue: 'desk',
        rules: [{ only: range(0, CRASHING.count), attempts: [1], then: 'fail' }],
        options: { concurrency: CRASHING.concurrency, retry: { delaysMs: [retryMs] } },
      } as const;
      const killed = await killTwice(kit, bus, program, 'work');
      await kit.worker(program, { leaseMs: CRASHING.leaseMs });
      await allHandled(kit, range(0, CRASHING.count), 45_000);
      await quiet(kit, bus, Math.max(retryMs, CRASHING.leaseMs), () => reportsOf(kit, 'started').length);
      repeatsHeld(kit, killed, 2, held);
      const most = CRASHING.count + 2 * held;
      for (const attempt of [1, 2]) {
        const runs = reportsOf(kit, 'started', attempt).filter(({ n }) => n < CRASHING.count).length;
        kit.check(
          runs <= most,
          `attempt ${attempt} runs at most ${most} times for ${CRASHING.count} messages and two kills: ${runs}`,
        );
      }
      kit.same((await kit.letters(bus, desk)).length, 0, 'nothing is a dead letter');
    },
  },
];

/** By number, how many attempts the dead letters had; undefined before there are `count`. */
async function lettersOf(
  kit: Kit,
  bus: Parameters<Kit['letters']>[0],
  count: number,
): Promise<readonly (readonly number[])[] | undefined> {
  const letters = await kit.letters(bus, desk);
  if (letters.length < count) return undefined;
  return letters
    .map(({ id, attempts }) => [Number(id.slice(NOTE.length)), attempts])
    .toSorted(([left = 0], [right = 0]) => left - right);
}

function plannedDelay(kit: Kit, id: string, nextAttempt: number): number {
  const planned = kit.events.find(
    (event) => event.name === 'retry-scheduled' && event.id === id && event.nextAttempt === nextAttempt,
  );
  return planned?.name === 'retry-scheduled' ? planned.delayMs : Number.NaN;
}

function othersFirst(kit: Kit, isOther: (report: Report) => boolean): void {
  const lastOther = Math.max(
    ...reportsOf(kit, 'handled')
      .filter(isOther)
      .map(({ at }) => at),
  );
  const firstRetry = Math.min(...reportsOf(kit, 'started', 2).map(({ at }) => at));
  kit.check(
    lastOther < firstRetry,
    `all others are handled before the first retry: the last came ${lastOther - firstRetry} ms behind it`,
  );
}
