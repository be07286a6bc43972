import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '@waybill/core';
import { desk, Moved, Noted, track, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import type { Worker } from '../worker.ts';
import { checkArrivals, heapBytes, Load, readTrack } from './recovery-load.ts';

const PUBLISHES = 20_000;
const SEND_TIMEOUT_MS = 10_000;
const IN_FLIGHT = 500;
const HOLE_MS = 15_000;
const MIB = 1024 * 1024;
/** Key of what is published after the faults. */
const LATER = 'later';

export const recovery: readonly Scenario[] = [
  {
    id: 'publish-faults',
    guarantee: 'recovery',
    sentence:
      'of 20,000 keyed publishes through a cut, a black hole of 15 s and lost confirms each ends in time, the resolved ones are stored, each key in call order',
    needs: ['admin', 'ordering'],
    faults: ['cut', 'blackHole', 'loseConfirms'],
    deadlineMs: 180_000,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [Moved, track], sendTimeoutMs: SEND_TIMEOUT_MS });
      await bus.provision();
      const load = new Load(bus, 200);
      const heapBefore = heapBytes();
      const publishing = load.publish(PUBLISHES, IN_FLIGHT);
      await load.reaches(between(2_000, 5_000));
      await kit.faults.cut();
      await load.reaches(between(7_000, 10_000));
      await kit.faults.blackHole(true);
      await sleep(5_000);
      const resolvedEarly = load.resolved.length;
      await sleep(HOLE_MS - 5_000);
      checkBites(kit, load, resolvedEarly);
      kit.check(load.ended.length > load.resolved.length, 'some end in the black hole, at their deadline');
      const heapGrowth = heapBytes() - heapBefore;
      await kit.faults.blackHole(false);
      await load.reaches(between(13_000, 16_000));
      await loseSomeConfirms(kit, load);
      await publishing;
      await publishesSoon(kit, () => bus.publish(Moved, { entity: LATER, sequence: 0 }));
      const codes = [...new Set(load.ended.map(({ code }) => code ?? 'stored'))].toSorted();
      kit.same(
        codes.filter((code) => !['TIMEOUT', 'UNAVAILABLE', 'stored'].includes(code)),
        [],
        'other rejections',
      );
      const late = load.ended.filter(({ tookMs }) => tookMs > SEND_TIMEOUT_MS + 5_000);
      kit.check(
        late.length === 0,
        `each publish ends within ${SEND_TIMEOUT_MS + 5_000} ms; ${late.length} take up to ${Math.max(...late.map(({ tookMs }) => tookMs))}`,
        late.slice(0, 3).map(({ id }) => id),
      );
      kit.check(heapGrowth < 100 * MIB, `the heap grows by less than 100 MiB, not ${Math.round(heapGrowth / MIB)}`);
      checkArrivals(kit, load, await readTrack(kit, load, 90_000));
    },
  },
  {
    id: 'recovery-slow-answers',
    guarantee: 'recovery',
    sentence:
      'a broker that is slow to answer costs time and nothing else: nothing fails, is repeated or reported down',
    faults: ['delay'],
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const failing = 30;
      const attempts: (readonly [number, number])[] = [];
      const handle = ({ n }: { readonly n: number }, { attempt }: { readonly attempt: number }): void => {
        attempts.push([n, attempt]);
        if (n === failing && attempt === 1) throw new Error('once');
      };
      const bus = kit.bus();
      const handlers = { [Noted.type]: handle, [Work.type]: () => undefined };
      await bus.consume(desk, handlers, { retry: { delaysMs: [1_000], jitter: 0 } });
      await publishNotes(bus, WARM_UP);
      await kit.eventually('the consumer has opened', () => attempts.length === WARM_UP.length, 20_000);
      await kit.faults.delay(300);
      const slow = WARM_UP.map((n) => WARM_UP.length + n);
      const startedAt = Date.now();
      await publishNotes(bus, slow);
      const tookMs = Date.now() - startedAt;
      await kit.eventually('all are handled', () => attempts.length > 2 * WARM_UP.length, 30_000);
      const health = bus.health();
      await kit.faults.delay(0);
      kit.check(tookMs >= 250, `answers are slow: publishes took ${tookMs} ms`);
      const expected = [...WARM_UP, ...slow].map((n) => [n, 1]);
      kit.same(attempts.toSorted(byNumbers), [...expected, [failing, 2]].toSorted(byNumbers), 'attempts', [
        noteId(failing),
      ]);
      const statuses = kit.events.flatMap((event) => (event.name === 'consumer' ? [event.status] : []));
      kit.same([health.status, statuses.at(-1)], ['up', 'up'], 'health while answers are slow');
      kit.check(!statuses.includes('down'), `the consumer was never down: ${statuses.join(', ')}`);
    },
  },
  {
    id: 'recovery-broker-killed',
    guarantee: 'recovery',
    sentence:
      'publishes in flight and a consumer go on after the broker was killed and started: all are stored, in order per key, and handled by the same process',
    needs: ['ordering'],
    faults: ['down', 'start'],
    deadlineMs: 180_000,
    alone: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [Moved, track], sendTimeoutMs: 120_000 });
      const worker = await kit.worker({ queue: 'track' });
      const load = new Load(bus, 50);
      const publishing = load.publish(3_000, 400);
      await load.reaches(1_000);
      await kit.down('node');
      await sleep(2_000);
      await kit.faults.start();
      await publishing;
      await publishesSoon(kit, () => bus.publish(Moved, { entity: LATER, sequence: 0 }));
      kit.same(
        load.ended.filter(({ code }) => code !== undefined),
        [],
        'rejected publishes',
      );
      const first = (): readonly number[] => [
        ...new Set(worker.reports.filter(({ what, key }) => what === 'handled' && key !== LATER).map(({ n }) => n)),
      ];
      await kit.eventually('all are handled', () => first().length >= 3_000, 90_000);
      checkArrivals(kit, load, first());
      kit.check(worker.alive, 'the process of the consumer lives on');
      await kit.eventually('health is up', () => bus.health().status === 'up', 15_000);
    },
  },
  {
    id: 'recovery-cut-handlers',
    guarantee: 'recovery',
    sentence:
      'a consumer whose connection is cut while handlers run goes on by itself: all are handled, no attempt is counted, only what was held is repeated',
    needs: ['admin'],
    faults: ['cut'],
    deadlineMs: 120_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [Noted, desk] });
      await bus.provision();
      const worker = await kit.worker(
        {
          queue: 'desk',
          rules: [
            { only: WARM_UP, then: 'handle' },
            { then: 'handle', afterMs: 250 },
          ],
          options: { concurrency: 20 },
        },
        { leaseMs: 10_000 },
      );
      await publishNotes(bus, WARM_UP);
      await kit.eventually('the consumer has opened', () => handledBy(worker).size >= WARM_UP.length, 20_000);
      const numbers = Array.from({ length: 240 }, (_, index) => WARM_UP.length + index);
      await publishNotes(bus, numbers);
      for (const count of [40, 190]) {
        await kit.eventually(`${count} are handled`, () => handledBy(worker).size >= count, 30_000);
        await kit.faults.cut();
      }
      const missing = (): readonly string[] => numbers.filter((n) => !handledBy(worker).has(n)).map(noteId);
      await kit.eventually('all are handled', () => missing().length === 0, 45_000).catch(() => undefined);
      kit.same(missing(), [], 'messages that are not handled', missing().slice(0, 3));
      await kit.eventually('the queue is empty', async () => (await bus.depth(desk)).ready === 0, 90_000);
      kit.same(
        worker.reports.filter(({ attempt }) => attempt !== 1).map(({ id }) => id),
        [],
        'messages whose attempt is counted',
      );
      const runs = worker.reports.filter(({ what }) => what === 'started').length;
      kit.check(runs <= 265 + 2 * 80, `at most a window is repeated for each cut: ${runs} runs of 265 messages`);
      kit.same((await kit.letters(bus, desk)).length, 0, 'letters');
    },
  },
];

const byNumbers = ([a = 0, b = 0]: readonly number[], [c = 0, d = 0]: readonly number[]): number => a - c || b - d;
const between = (from: number, to: number): number => from + Math.floor(Math.random() * (to - from));

/** The broker stores what it is sent, its confirms are lost, and then the connection is cut. */
async function loseSomeConfirms(kit: Kit, load: Load): Promise<void> {
  await kit.faults.loseConfirms(true);
  await sleep(200);
  const resolved = load.resolved.length;
  await sleep(300);
  checkBites(kit, load, resolved);
  await kit.faults.cut();
  await kit.faults.loseConfirms(false);
}

/** While answers are lost at most those resolve whose answer was on its way. */
function checkBites(kit: Kit, load: Load, before: number): void {
  const late = load.resolved.length - before;
  kit.check(late <= IN_FLIGHT, `no more than what was in flight resolves while answers are lost: ${late}`);
}

/** A bus that saw faults stores what is published now in less than 2 s. */
async function publishesSoon(kit: Kit, publish: () => Promise<void>): Promise<void> {
  const startedAt = Date.now();
  await publish();
  const tookMs = Date.now() - startedAt;
  kit.check(tookMs < 2_000, `after the faults a publish takes less than 2 s, not ${tookMs} ms`);
}

/** A consumer holds one message at a time until it knows that they are harmless. */
const WARM_UP = Array.from({ length: 25 }, (_, n) => n);
const noteId = (n: number): string => `note-${n}`;

async function publishNotes(bus: Bus, numbers: readonly number[]): Promise<void> {
  await Promise.all(numbers.map((n) => bus.publish(Noted, { n }, { id: noteId(n) })));
}

const handledBy = ({ reports }: Worker): ReadonlySet<number> =>
  new Set(reports.filter(({ what }) => what === 'handled').map(({ n }) => n));
