import { setTimeout as sleep } from 'node:timers/promises';
import { type Bus, decode, type Delivery, type Driver, type HandlerContext } from '@waybill/core';
import type { Settlement } from '@waybill/core/driver';
import { desk, Follow, outbox, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import type { Worker } from '../worker.ts';
import { wrapDriver } from '../wrap-driver.ts';
import { isWarmUp, leaseOf, leasesAreOver, numbersOf, range, sendWork, warmUp, warmUpWith } from './lease-handlers.ts';
import { emptied, REPEATS_PER_SLOT } from './retry-helpers.ts';

const LEASE = { leaseMs: 5_000 };

export const atLeastOnce: readonly Scenario[] = [
  {
    id: 'at-least-once-settles-last',
    guarantee: 'at-least-once',
    sentence:
      'a delivery is settled once its handler has finished and what it sent, or the copy for its retry, is stored: not before',
    needs: ['admin', 'delay'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const watch = new SettleWatch();
      const bus = kit.bus({ seam: watch.seam });
      const followed: number[] = [];
      await bus.consume(outbox, { [Follow.type]: ({ n }) => void followed.push(n) });
      const work: WorkHandler = async ({ n }, context) => {
        const { delivery, attempt } = context;
        watch.started(delivery, n);
        await sleep(20 + 10 * (n % 5));
        context.send(outbox, Follow, { n });
        const fails = n % 4 === 0 && attempt === 1;
        watch.ended(delivery, fails ? 'failed' : 'handled');
        if (fails) throw new Error('told to fail');
      };
      await bus.consume(
        desk,
        { [Work.type]: work, 'conformance.noted': () => undefined },
        { retry: { delaysMs: [200] } },
      );
      await sendWork(bus, range(40));
      const over = (): boolean => watch.tooEarly.length > 0 || (new Set(followed).size >= 40 && watch.accepted >= 50);
      await kit.eventually('all follow and are settled', over, 15_000);
      kit.same(watch.tooEarly, [], 'settled too early');
      await emptied(kit, bus, desk);
      kit.same(watch.tooEarly, [], 'settled too early');
      kit.same(
        followed.toSorted((left, right) => left - right),
        range(40),
        'what handlers sent that did not fail',
      );
    },
  },
  {
    id: 'at-least-once-killed',
    guarantee: 'at-least-once',
    sentence:
      'a process that is killed in the middle of handlers loses nothing: what it held goes to another, marked redelivered, and nothing else does',
    faults: ['kill-process'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const concurrency = 4;
      const rules = [{ only: range(3), then: 'hang' }] as const;
      const killed = await kit.worker({ queue: 'desk', rules, options: { concurrency } }, LEASE);
      await warmUp(kit, bus, killed);
      await sendWork(bus, range(100));
      const ready = (): boolean => numbersOf([killed], 'handled').length >= 90 && hanging(killed).length >= 3;
      await kit.eventually('three handlers hang and 90 have ended', ready, 20_000);
      killed.kill();
      await killed.ended;
      const other = await kit.worker({ queue: 'desk' }, LEASE);
      await handledBy(kit, [killed, other], 100, LEASE.leaseMs + 10_000);
      const held = other.reports.filter(({ n, what }) => n < 3 && what === 'started');
      kit.same(
        held.map(({ n }) => n).toSorted((left, right) => left - right),
        range(3),
        'those that ran in the killed process run once more',
        range(3).map(workId),
      );
      kit.check(
        held.every(({ redelivered, attempt }) => redelivered && attempt === 1),
        'they are marked redelivered, and their attempts are not counted',
        range(3).map(workId),
      );
      const settled = new Set(killed.reports.filter(({ what }) => what === 'handled').map(({ id }) => id));
      const again = other.reports.filter(({ id, what }) => what === 'started' && settled.has(id));
      const most = REPEATS_PER_SLOT * concurrency - 3;
      kit.check(
        again.length <= most,
        `of ${settled.size} that ended at most ${most} are repeated, not ${again.length}`,
        again.slice(0, 3).map(({ id }) => id),
      );
    },
  },
  {
    id: 'at-least-once-cut',
    guarantee: 'at-least-once',
    sentence:
      'connections that are cut while handlers run lose neither messages nor what their handlers sent, and no attempt is counted',
    faults: ['cut'],
    deadlineMs: 90_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const rules = [{ only: range(60), then: 'follow', afterMs: 100 }] as const;
      const worker = await kit.worker({ queue: 'desk', rules, options: { concurrency: 5 } }, LEASE);
      await warmUp(kit, bus, worker);
      await sendWork(bus, range(60));
      for (const count of [10, 35]) {
        await kit.eventually(`${count} are handled`, () => distinct([worker]).size >= count, 20_000);
        await kit.faults.cut();
      }
      await handledBy(kit, [worker], 60, 15_000);
      await allFollow(kit, range(60));
      const counted = worker.reports.filter(({ n, attempt }) => !isWarmUp(n) && attempt !== 1).map(({ id }) => id);
      kit.same(counted, [], 'messages whose attempt is counted', counted.slice(0, 3));
      kit.check(worker.alive, 'the process lives on');
    },
  },
  {
    id: 'at-least-once-broker-killed',
    guarantee: 'at-least-once',
    sentence:
      'a broker that is killed and started while handlers run loses neither messages nor what their handlers sent; those that lost their message run again',
    faults: ['down', 'start'],
    deadlineMs: 120_000,
    alone: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const runs: {
        readonly n: number;
        readonly lost: () => boolean;
        readonly redelivered: boolean;
        readonly attempt: number;
      }[] = [];
      const done = new Set<number>();
      let warm = 0;
      const work: WorkHandler = async ({ n }, context) => {
        if (isWarmUp(n)) warm += 1;
        else {
          const first = !runs.some((run) => run.n === n);
          // A lease may outlive the broker's death.
          const lost = (): boolean => context.signal.aborted;
          runs.push({ n, lost, redelivered: context.redelivered, attempt: context.attempt });
          await sleep(n < 3 && first ? 15_000 : 50, undefined, { signal: context.signal });
          context.send(outbox, Follow, { n });
          done.add(n);
        }
      };
      await bus.consume(desk, { [Work.type]: work, 'conformance.noted': () => undefined }, { concurrency: 8 });
      await warmUpWith(kit, bus, () => warm);
      await sendWork(bus, range(60));
      const inTheMiddle = (): boolean => done.size >= 20 && range(3).every((n) => runs.some((run) => run.n === n));
      await kit.eventually('three handlers run and 20 have ended', inTheMiddle, 20_000);
      await kit.down('node');
      await kit.faults.start();
      await kit.eventually('all are handled', () => done.size >= 60, 25_000).catch(() => undefined);
      const missing = range(60).filter((n) => !done.has(n));
      kit.same(missing, [], 'not handled', missing.slice(0, 3).map(workId));
      await allFollow(kit, range(60));
      const ran = range(3).map((n) => runs.filter((run) => run.n === n));
      kit.check(
        ran.every(([first, ...later]) => first?.lost() === false || later.length > 0),
        'those that lost their message run again',
        range(3).map(workId),
      );
      kit.check(
        ran.every(([, ...later]) => later.every(({ redelivered }) => redelivered)),
        'those that run again are marked redelivered',
        range(3).map(workId),
      );
      const counted = runs.filter(({ attempt }) => attempt !== 1).map(({ n }) => n);
      kit.same(counted, [], 'messages whose attempt is counted', counted.slice(0, 3).map(workId));
    },
  },
  {
    id: 'at-least-once-slow',
    guarantee: 'at-least-once',
    sentence:
      'a slow handler keeps its message while another process is idle; what it handled before it closes is not handled again',
    deadlineMs: 60_000,
    async run(kit: Kit) {
      const bus = kit.bus();
      await bus.provision();
      const leaseMs = await leaseOf(kit, LEASE);
      const rules = [
        { only: range(1), then: 'handle', afterMs: leaseMs === undefined ? 5_000 : 1.6 * leaseMs },
      ] as const;
      const workers = [
        await kit.worker({ queue: 'desk', rules }, LEASE),
        await kit.worker({ queue: 'desk', rules }, LEASE),
      ];
      await sendWork(bus, range(1));
      const slow = await kit.eventually('one runs it', () => workers.find(({ reports }) => reports.length > 0), 15_000);
      await sendWork(bus, range(10, 1));
      await kit.eventually('all are handled', () => distinct(workers).size >= 11, 15_000);
      await slow.close();
      await sendWork(bus, range(10, 11));
      await kit.eventually('later ones are handled', () => distinct(workers).size >= 21, 15_000);
      await leasesAreOver(kit, leaseMs);
      kit.same(numbersOf(workers, 'started'), range(21), 'the attempts', [workId(0)]);
    },
  },
];

type WorkHandler = (data: { readonly n: number }, context: HandlerContext) => Promise<void>;

const workId = (n: number): string => `work-${n}`;

/** What a driver is asked to settle, held against what has happened by then. */
class SettleWatch {
  accepted = 0;
  readonly tooEarly: string[] = [];
  readonly #runs = new Map<Delivery, { readonly n: number; end: 'running' | 'failed' | 'handled' }>();
  readonly #stored = new Set<string>();

  readonly seam = (driver: Driver): Driver =>
    wrapDriver(driver, {
      send: async (batch, signal) => {
        await driver.send(batch, signal);
        for (const { id, type, body, contentType, headers } of batch) {
          if (type === Follow.type) {
            const { data } = decode({ body, contentType, headers });
            this.#stored.add(`follow-${(data as { readonly n: number }).n}`);
          } else this.#stored.add(id);
        }
      },
      subscribe: async (queue, lane, options) => {
        const subscription = await driver.subscribe(queue, lane, options);
        return {
          receive: (max, signal) => subscription.receive(max, signal),
          settle: (batch) => {
            for (const settlement of batch) this.#settles(settlement);
            return subscription.settle(batch);
          },
          extend: (deliveries) => subscription.extend(deliveries),
          resize: (maxInFlight) => subscription.resize(maxInFlight),
          close: (deadlineMs) => subscription.close(deadlineMs),
        };
      },
    });

  started(delivery: Delivery, n: number): void {
    this.#runs.set(delivery, { n, end: 'running' });
  }

  ended(delivery: Delivery, end: 'failed' | 'handled'): void {
    const run = this.#runs.get(delivery);
    if (run !== undefined) run.end = end;
  }

  #settles({ delivery, action }: Settlement): void {
    const id = decode(delivery).metadata.id;
    const run = this.#runs.get(delivery);
    if (!id.startsWith('work-') || action !== 'accept') return;
    this.accepted += 1;
    if (run === undefined) this.tooEarly.push(`${id} before it starts`);
    else if (run.end === 'running') this.tooEarly.push(`${id} while it runs`);
    else if (!this.#stored.has(run.end === 'failed' ? `${id}#a2` : `follow-${run.n}`))
      this.tooEarly.push(`${id} before what it leaves is stored`);
  }
}

/** Numbers that started and did not end. */
function hanging({ reports }: Worker): readonly number[] {
  const ended = new Set(reports.filter(({ what }) => what !== 'started').map(({ n }) => n));
  return reports.filter(({ n, what }) => what === 'started' && !ended.has(n)).map(({ n }) => n);
}

function distinct(workers: readonly Worker[]): ReadonlySet<number> {
  return new Set(numbersOf(workers, 'handled'));
}

async function handledBy(kit: Kit, workers: readonly Worker[], count: number, withinMs: number): Promise<void> {
  const missing = (): readonly number[] => range(count).filter((n) => !distinct(workers).has(n));
  await kit.eventually('all are handled', () => missing().length === 0, withinMs).catch(() => undefined);
  kit.same(missing(), [], `not handled within ${withinMs} ms`, missing().slice(0, 3).map(workId));
}

/** What the handlers sent is there; an attempt that was repeated sent the same message again. */
async function allFollow(kit: Kit, numbers: readonly number[]): Promise<void> {
  const bus: Bus = kit.bus();
  const followed = new Map<number, Set<string>>();
  const note = (n: number, id: string): void => void followed.set(n, (followed.get(n) ?? new Set()).add(id));
  await bus.consume(outbox, { [Follow.type]: ({ n }, { metadata }) => note(n, metadata.id) });
  const missing = (): readonly number[] => numbers.filter((n) => !followed.has(n));
  await kit.eventually('all follow', () => missing().length === 0, 15_000).catch(() => undefined);
  kit.same(missing(), [], 'handled, and what the handler sent is lost', missing().slice(0, 3).map(workId));
  const renamed = numbers.filter((n) => followed.get(n)?.size !== 1);
  kit.same(renamed, [], 'sent under another id when it was repeated', renamed.slice(0, 3).map(workId));
}
