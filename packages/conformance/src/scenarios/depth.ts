import type { Bus, Depth } from '@waybill/core';
import { archive, desk, Noted, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';

/** Brokers count behind the times. */
const TRUE_WITHIN_MS = 90_000;
const trueWithin = ({ harness }: Kit): number => harness.depthWithinMs ?? TRUE_WITHIN_MS;
const HOUR_MS = 3_600_000;
const NO_RETRY = { retry: { delaysMs: [] } };

export const depth: readonly Scenario[] = [
  {
    id: 'depth-at-rest',
    guarantee: 'depth',
    sentence: 'ready and deadLettered are true at rest, for each queue of a topic of its own',
    needs: ['admin'],
    deadlineMs: 150_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [Noted, desk, archive] });
      await bus.provision();
      kit.same(await restingDepth(bus), { ready: 0, deadLettered: 0 }, 'a new queue');
      await publishNotes(bus, 0, 12);
      await becomes(kit, bus, { ready: 12, deadLettered: 0 });
      const worker = await kit.worker({
        queue: 'desk',
        rules: [{ only: [3, 4, 5, 6, 7], then: 'reject' }],
        options: NO_RETRY,
      });
      await becomes(kit, bus, { ready: 0, deadLettered: 5 });
      await worker.close();
      await publishNotes(bus, 20, 4);
      await becomes(kit, bus, { ready: 4, deadLettered: 5 });
      await kit.eventually(
        'the other queue has its own copies',
        async () => (await bus.depth(archive)).ready === 16,
        trueWithin(kit),
      );
      kit.same((await bus.depth(archive)).deadLettered, 0, 'letters of the other queue');
    },
  },
  {
    id: 'depth-absent-or-true',
    guarantee: 'depth',
    sentence:
      'what is in flight and what is delayed is counted apart from what is ready; a broker that cannot tell leaves it out',
    needs: ['admin', 'delay'],
    deadlineMs: 150_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [Noted, desk] });
      await bus.provision();
      const worker = await kit.worker({
        queue: 'desk',
        rules: [{ then: 'hang' }],
        options: { ...NO_RETRY, concurrency: 6 },
      });
      await publishNotes(bus, 0, 1);
      await kit.eventually('one is started', () => worker.reports.length > 0, 30_000);
      for (const n of [100, 101, 102, 103]) await bus.send(desk, Work, { n }, { delayMs: HOUR_MS });
      await kit
        .eventually(
          'depth is true',
          async () => {
            const { ready, deadLettered, inFlight, delayed } = await bus.depth(desk);
            const counted = (inFlight === undefined || inFlight === 1) && (delayed === undefined || delayed === 4);
            return isResting(ready, inFlight, 1) && deadLettered === 0 && counted;
          },
          trueWithin(kit),
        )
        .catch(() => undefined);
      const { ready, deadLettered, inFlight: held, delayed = 'absent' } = await bus.depth(desk);
      const inFlight = held ?? 'absent';
      kit.check(isResting(ready, held, 1), `what is held is not ready, or counted there alone: ready ${ready}`);
      kit.same(deadLettered, 0, 'letters');
      kit.check(inFlight === 1 || inFlight === 'absent', `in flight is 1 or absent, not ${inFlight}`);
      kit.check(delayed === 4 || delayed === 'absent', `delayed is 4 or absent, not ${delayed}`);
    },
  },
  {
    id: 'depth-purge',
    guarantee: 'depth',
    sentence: 'purge empties one lane of one queue and nothing else, and what is published afterwards arrives',
    needs: ['admin'],
    deadlineMs: 240_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [Noted, desk, archive] });
      await bus.provision();
      await publishNotes(bus, 0, 6);
      const worker = await kit.worker({ queue: 'desk', rules: [{ then: 'reject' }], options: NO_RETRY });
      await becomes(kit, bus, { ready: 0, deadLettered: 6 });
      await worker.close();
      await publishNotes(bus, 10, 5);
      await becomes(kit, bus, { ready: 5, deadLettered: 6 });
      await bus.purge(desk, 'work');
      await becomes(kit, bus, { ready: 0, deadLettered: 6 });
      await publishNotes(bus, 20, 3);
      await bus.purge(desk, 'dead');
      await becomes(kit, bus, { ready: 3, deadLettered: 0 });
      kit.same((await kit.letters(bus, desk)).length, 0, 'letters that are listed');
      await kit.eventually(
        'the other queue keeps its copies',
        async () => (await bus.depth(archive)).ready === 14,
        trueWithin(kit),
      );
      const later = await kit.worker({ queue: 'desk' });
      await kit.eventually(
        'what came after the purge is handled',
        () => later.reports.filter(({ what }) => what === 'handled').length >= 3,
        30_000,
      );
      kit.same(
        [...new Set(later.reports.map(({ id }) => id))].toSorted(),
        ['note-20', 'note-21', 'note-22'],
        'what is handled after the purges',
      );
    },
  },
  {
    id: 'depth-after-kill',
    guarantee: 'depth',
    sentence: 'what a killed process held is ready again and counted once, and its letters too',
    needs: ['admin'],
    faults: ['kill-process'],
    deadlineMs: 180_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [Noted, desk] });
      await bus.provision();
      await publishNotes(bus, 0, 24);
      const rules = [{ only: Array.from({ length: 24 }, (_, n) => n), then: 'reject' }, { then: 'hang' }] as const;
      const worker = await kit.worker(
        { queue: 'desk', rules, options: { ...NO_RETRY, concurrency: 8 } },
        { leaseMs: 10_000 },
      );
      await becomes(kit, bus, { ready: 0, deadLettered: 24 });
      await publishNotes(bus, 24, 6);
      const hanging = (): number => worker.reports.filter(({ n, what }) => n >= 24 && what === 'started').length;
      await kit.eventually('six handlers hang', () => hanging() >= 6, 30_000);
      const { ready, inFlight } = await bus.depth(desk);
      const counted = ready === 6 && isResting(ready, inFlight, 6);
      await becomes(kit, bus, { ready: counted ? 6 : 0, deadLettered: 24 });
      worker.kill();
      await worker.ended;
      await becomes(kit, bus, { ready: 6, deadLettered: 24 });
      const nothing = async (): Promise<boolean> => ((await bus.depth(desk)).inFlight ?? 0) === 0;
      await kit.eventually('nothing is in flight with nobody there', nothing, trueWithin(kit));
    },
  },
  {
    id: 'depth-after-broker-killed',
    guarantee: 'depth',
    sentence: 'ready and deadLettered are the same after the broker was killed and started',
    needs: ['admin'],
    faults: ['down', 'start'],
    deadlineMs: 240_000,
    alone: true,
    async run(kit: Kit) {
      const bus = kit.bus({ uses: [Noted, desk] });
      await bus.provision();
      await publishNotes(bus, 0, 9);
      const worker = await kit.worker({ queue: 'desk', rules: [{ then: 'reject' }], options: NO_RETRY });
      await becomes(kit, bus, { ready: 0, deadLettered: 9 });
      await worker.close();
      await publishNotes(bus, 10, 7);
      await becomes(kit, bus, { ready: 7, deadLettered: 9 });
      await kit.down();
      await kit.rejects(
        bus.depth(desk, { signal: AbortSignal.timeout(20_000) }),
        'UNAVAILABLE',
        'depth without a broker',
      );
      await kit.faults.start();
      await becomes(kit, bus, { ready: 7, deadLettered: 9 });
      kit.same((await kit.letters(bus, desk)).length, 9, 'letters that are listed');
    },
  },
];

/** Nothing is ready; or what is held, where the broker cannot tell it apart. */
const isResting = (ready: number, inFlight: number | undefined, held: number): boolean =>
  ready === 0 || (inFlight === undefined && ready === held);

async function publishNotes(bus: Bus, from: number, count: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, index) =>
      bus.publish(Noted, { n: from + index }, { id: `note-${from + index}` }),
    ),
  );
}

type Resting = Pick<Depth, 'ready' | 'deadLettered'>;

async function restingDepth(bus: Bus): Promise<Resting> {
  const { ready, deadLettered } = await bus.depth(desk);
  return { ready, deadLettered };
}

/** Desk has that depth within 90 s, and still at the next look. */
async function becomes(kit: Kit, bus: Bus, { ready, deadLettered }: Resting): Promise<void> {
  const isTrue = async (): Promise<boolean> => {
    const now = await restingDepth(bus);
    return now.ready === ready && now.deadLettered === deadLettered;
  };
  await kit.eventually('depth is true', isTrue, trueWithin(kit)).catch(() => undefined);
  kit.same(await restingDepth(bus), { ready, deadLettered }, `depth of desk within ${trueWithin(kit)} ms`);
}
