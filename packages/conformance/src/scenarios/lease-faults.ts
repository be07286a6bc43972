import { type Bus, type HandlerContext, Reject } from '@waybill/core';
import { desk, Follow, outbox, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import { abortedAt, isWarmUp, LeaseThief, range, sendWork, warmUpWith } from './lease-handlers.ts';

const SETTINGS = { leaseMs: 5_000 };

export const leaseFaults: readonly Scenario[] = [
  {
    id: 'lease-lost-aborts',
    guarantee: 'lease',
    sentence: 'the signals of handlers that lost their lease abort within 5 s, and others handle their messages',
    deadlineMs: 60_000,
    async run(kit: Kit) {
      const thief = new LeaseThief();
      const bus = kit.bus({ driver: SETTINGS, seam: thief.seam });
      const contexts: HandlerContext[] = [];
      const aborts: (number | undefined)[] = [];
      const again: HandlerContext[] = [];
      await consumeWork(bus, async (_, context) => {
        if (context.redelivered) again.push(context);
        else {
          contexts.push(context);
          aborts.push(await abortedAt(context.signal, 30_000));
        }
      });
      await sendWork(bus, range(1));
      const first = await kit.eventually('its handler runs', () => contexts[0], 20_000);
      const other = kit.bus({ driver: SETTINGS });
      await consumeWork(other, async (_, context) => void again.push(context));
      const lostAt = await thief.steal(kit, first);
      await kit.eventually('its signal aborts', () => aborts.length > 0, 30_000);
      const at = aborts[0];
      kit.check(at !== undefined, 'the signal aborts', ['work-0']);
      kit.check(at <= lostAt + 5_000, `the signal aborts within 5 s of the loss, not ${at - lostAt} ms`, ['work-0']);
      await kit.eventually('it is handled again', () => again.length > 0, 30_000);
      kit.same(
        again.map(({ attempt, redelivered }) => [attempt, redelivered]),
        [[1, true]],
        'the repeated attempts',
        ['work-0'],
      );
    },
  },
  {
    id: 'lease-lost-outcome',
    guarantee: 'lease',
    sentence: 'success, failure, rejection and sends of a handler that lost its lease change nothing',
    deadlineMs: 90_000,
    async run(kit: Kit) {
      const thief = new LeaseThief();
      const bus = kit.bus({ driver: SETTINGS, seam: thief.seam });
      const lost = new Map<number, HandlerContext>();
      const taken = new Set<number>();
      const again: number[] = [];
      const followed: number[] = [];
      const gate = new AbortController();
      let warm = 0;
      await consumeWork(bus, async ({ n }, context) => {
        if (isWarmUp(n)) return void (warm += 1);
        if (lost.has(n)) return holdOn(n, context, taken);
        lost.set(n, context);
        await abortedAt(gate.signal, 60_000);
        lateOutcome(n, context);
      });
      await warmUpWith(kit, bus, () => warm);
      await sendWork(bus, range(3));
      await kit.eventually('its handlers run', () => lost.size >= 3, 20_000);
      const other = kit.bus({ driver: SETTINGS });
      await consumeWork(other, async ({ n }, context) => holdOn(n, context, taken));
      await thief.steal(kit, lost.get(0) as HandlerContext);
      // A broker may count one as a suspect by now: it is held unrun beside the others.
      const ids = range(3).map((n) => `work-${n}`);
      const handedOut = (id: string): number =>
        kit.history.entries.filter((entry) => entry.what === 'handed out' && entry.id === id).length;
      await kit.eventually('they are handed out again', () => ids.every((id) => handedOut(id) >= 2), 45_000);
      await kit.eventually('some run again', () => taken.size > 0, 20_000);
      await kit.eventually(
        'all three are aborted',
        () => [...lost.values()].every(({ signal }) => signal.aborted),
        15_000,
      );
      gate.abort();
      await kit.eventually('three outcomes are dropped', () => dropped(kit) >= 3, 10_000);
      // Had a late outcome settled any of them, nobody would get it now.
      await Promise.all([bus, other].map((each) => each.close({ deadlineMs: 2_000 })));
      const third = kit.bus({ driver: SETTINGS });
      await consumeWork(third, async ({ n }, context) => finish(n, context, again));
      await kit.eventually('a third process gets them', () => new Set(again).size >= 3, 20_000);
      await third.consume(outbox, { 'conformance.follow': ({ n }) => void followed.push(n) });
      await third.send(outbox, Follow, { n: 99 });
      // A broker with partitions keeps no order among them.
      const arrived = (): boolean => followed.includes(99) && followed.length >= 4;
      await kit
        .eventually('what is sent later arrives, and what was sent before', arrived, 20_000)
        .catch(() => undefined);
      kit.same(
        followed.toSorted((left, right) => left - right),
        [0, 1, 2, 99],
        'what the handlers sent',
      );
      kit.same(
        again.toSorted((left, right) => left - right),
        [0, 1, 2],
        'the attempts of the third process',
        ids,
      );
      kit.same((await kit.letters(third, desk)).length, 0, 'dead letters', ['work-1', 'work-2']);
      kit.same(kit.events.filter(({ name }) => name === 'retry-scheduled').length, 0, 'retries', ['work-1']);
    },
  },
];

type WorkHandler = (data: { readonly n: number }, context: HandlerContext) => Promise<void>;

async function consumeWork(bus: Bus, work: WorkHandler): Promise<void> {
  await bus.consume(
    desk,
    { [Work.type]: work, 'conformance.noted': () => undefined },
    { concurrency: 8, retry: { delaysMs: [60_000] } },
  );
}

/** Runs until its process closes. */
async function holdOn(n: number, { signal }: HandlerContext, taken: Set<number>): Promise<void> {
  taken.add(n);
  await abortedAt(signal, 60_000);
  signal.throwIfAborted();
}

async function finish(n: number, context: HandlerContext, again: number[]): Promise<void> {
  context.send(outbox, Follow, { n });
  again.push(n);
}

/** 0 succeeds, 1 fails, 2 rejects; all send before. */
function lateOutcome(n: number, context: HandlerContext): void {
  context.send(outbox, Follow, { n });
  if (n === 1) throw new Error('told to fail');
  if (n === 2) throw new Reject('told to reject');
}

function dropped(kit: Kit): number {
  return kit.events.filter((event) => event.name === 'handled' && event.outcome === 'dropped').length;
}
