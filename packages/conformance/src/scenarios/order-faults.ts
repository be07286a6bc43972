import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '@waybill/core';
import { Jumped, Moved, track } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import type { Worker } from '../worker.ts';
import {
  allHandled,
  checkOneProcess,
  checkOrder,
  handledIds,
  idOf,
  keysOf,
  orderedBus,
  publishMoves,
  publishRounds,
  type Run,
  runsOf,
} from './order-runs.ts';

/** Places of an ordered queue: what one process may hold. */
const WINDOW = 1_000;
const LEASE_MS = 10_000;

export const orderFaults: readonly Scenario[] = [
  {
    id: 'order-through-cut',
    guarantee: 'order',
    sentence: 'order per key survives that the connection is cut again and again',
    needs: ['ordering'],
    faults: ['cut'],
    deadlineMs: 90_000,
    quick: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const worker = await kit.worker({ queue: 'track', rules: [{ then: 'handle', afterMs: 20 }] });
      await publishMoves(bus, keysOf(10), 40, [Moved, Jumped]);
      for (const count of [50, 150, 250]) {
        await allHandled(kit, count, 30_000);
        await kit.faults.cut();
      }
      await allHandled(kit, 400, 30_000);
      checkOrder(kit, runsOf([worker]));
    },
  },
  {
    id: 'order-full-window',
    guarantee: 'order',
    sentence:
      'a window full of failing keys reports degraded, holds no more, loses nothing, and goes to another process in order when it closes',
    needs: ['ordering'],
    deadlineMs: 180_000,
    async run(kit: Kit) {
      const bus = await orderedBus(kit);
      const failing = await orderedBus(kit, { driver: { leaseMs: LEASE_MS } });
      const failed = new Set<string>();
      const handle = ({ entity, sequence }: { readonly entity: string; readonly sequence: number }): void => {
        if (sequence > 0) return;
        failed.add(idOf(entity, sequence));
        throw new Error('told to fail');
      };
      const handlers = { 'conformance.moved': handle, 'conformance.jumped': handle };
      const consumer = await failing.consume(track, handlers, { retry: { delaysMs: [60_000] } });
      // More keys than places: a broker may hand out only a few messages of one key.
      await publishMoves(bus, keysOf(1_100), 2);
      await kit.eventually('the consumer reports degraded', () => consumer.health().status === 'degraded', 45_000);
      const { held, running } = consumer.health();
      kit.check(held <= WINDOW && running === 0, `at most ${WINDOW} are held and none runs: ${held} and ${running}`);
      const other = await kit.worker({ queue: 'track' }, { leaseMs: LEASE_MS });
      const closesAt = Date.now();
      await failing.close({ deadlineMs: 5_000 });
      const closedAt = Date.now();
      kit.check(closedAt - closesAt <= 6_000, `close returns within 6 s, not ${closedAt - closesAt} ms`);
      await allHandled(kit, 2_200, 60_000);
      const startedAt = new Map(other.reports.map(({ id, at }) => [id, at]).toReversed() as [string, number][]);
      const late = [...failed].filter((id) => (startedAt.get(id) ?? 0) > closedAt + LEASE_MS + 5_000);
      kit.same(late.length, 0, 'messages that reach another process later than lease + 5 s', late.slice(0, 3));
      checkOrder(kit, runsOf([other]));
      kit.same((await kit.letters(bus, track)).length, 0, 'dead letters');
    },
  },
  {
    id: 'churn-order',
    guarantee: 'order',
    sentence:
      'order per key and topic holds while processes come, close and are killed and the broker restarts; only kills, and sends that are not answered, make duplicates',
    needs: ['ordering'],
    faults: ['down', 'start', 'kill-process'],
    deadlineMs: 240_000,
    alone: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit, { sendTimeoutMs: 120_000 });
      const churn = new Churn(kit);
      await churn.come();
      await churn.come();
      await churn.come();
      const load = new Load(kit, bus);
      load.add(200);
      for (const step of STEPS) {
        await sleep(2_000);
        load.keepUp();
        await sleep(1_000);
        kit.check(load.left > 0, `there is work left when processes change: "${step}"`);
        await churn.change(step);
      }
      await load.published();
      await allHandled(kit, load.total, 180_000);
      const runs = runsOf(churn.workers);
      checkOrder(kit, runs);
      checkOneProcess(kit, runs);
      checkDuplicates(kit, runs, churn.deaths);
    },
  },
];

/** From three processes on, there are one to four. */
const STEPS = ['leave', 'come', 'come', 'kill', 'leave', 'restart', 'kill', 'come', 'come', 'leave'] as const;

/** What three processes do in a second. */
const A_SECOND = 4_000;

/** Messages of 100 keys in two topics: more of them as long as they are needed. */
class Load {
  readonly #kit: Kit;
  readonly #bus: Bus;
  readonly #keys = keysOf(100);
  readonly #publishing: Promise<void>[] = [];
  #rounds = 0;

  constructor(kit: Kit, bus: Bus) {
    this.#kit = kit;
    this.#bus = bus;
  }

  get total(): number {
    return this.#rounds * this.#keys.length;
  }

  get left(): number {
    return this.total - handledIds(this.#kit.reports).size;
  }

  add(rounds: number): void {
    const from = this.#rounds;
    this.#rounds += rounds;
    this.#publishing.push(publishRounds(this.#bus, this.#keys, { from, to: from + rounds }, [Moved, Jumped]));
  }

  /** There will be work for another second. */
  keepUp(): void {
    const missing = A_SECOND - this.left;
    if (missing > 0) this.add(Math.ceil(missing / this.#keys.length));
  }

  async published(): Promise<void> {
    await Promise.all(this.#publishing);
  }
}

/** When a process or the broker died, until whoever noticed has noticed. */
interface Death {
  readonly from: number;
  readonly until: number;
}

/** A process of a broken connection knows by then. */
const NOTICED_MS = 5_000;

/** Processes that come and go, and when one of them or the broker died. */
class Churn {
  readonly #kit: Kit;
  readonly workers: Worker[] = [];
  readonly deaths: Death[] = [];

  constructor(kit: Kit) {
    this.#kit = kit;
  }

  async change(step: (typeof STEPS)[number]): Promise<void> {
    if (step === 'come') await this.come();
    else if (step === 'leave') await this.#busiest().close();
    else if (step === 'kill') await this.#kill();
    else await this.#restartBroker();
  }

  async come(): Promise<void> {
    const rules = [{ then: 'handle', afterMs: 25 }] as const;
    const program = { queue: 'track', rules, options: { concurrency: 32 } } as const;
    this.workers.push(await this.#kit.worker(program, { leaseMs: LEASE_MS }));
  }

  #busiest(): Worker {
    const since = Date.now() - 1_000;
    const busy = ({ reports, alive }: Worker): number =>
      alive ? reports.slice(-500).filter(({ at }) => at > since).length : -1;
    return this.workers.toSorted((left, right) => busy(right) - busy(left))[0] as Worker;
  }

  async #kill(): Promise<void> {
    const leaving = this.#busiest();
    const from = Date.now();
    leaving.kill();
    await leaving.ended;
    this.deaths.push({ from, until: Date.now() });
  }

  async #restartBroker(): Promise<void> {
    const from = Date.now();
    await this.#kit.down('node');
    await this.#kit.faults.start();
    this.deaths.push({ from, until: Date.now() + NOTICED_MS });
  }
}

function checkDuplicates(kit: Kit, runs: readonly Run[], deaths: readonly Death[]): void {
  const handled = runs.filter(({ ended }) => ended?.what === 'handled');
  const duplicates = handled.length - handledIds(kit.reports).size;
  kit.check(duplicates <= deaths.length * WINDOW, `at most ${WINDOW} duplicates a death, not ${duplicates}`);
  const sentAgain = new Set(
    kit.history.entries
      .filter(({ what, detail }) => what === 'not stored' && detail.endsWith('TIMEOUT'))
      .map(({ id }) => id),
  );
  const before = new Map<string, Run>();
  const again: string[] = [];
  for (const run of handled.toSorted((left, right) => left.started.at - right.started.at)) {
    const { id, at } = run.started;
    const endedAt = before.get(id)?.ended?.at;
    // A death excuses it that came after the first success could be settled and before it was handed out again.
    const excused = deaths.some(({ from, until }) => (endedAt ?? 0) <= until && from <= at);
    if (endedAt !== undefined && !excused && !sentAgain.has(id)) again.push(id);
    before.set(id, run);
  }
  kit.same(again.length, 0, 'duplicates that no death explains', again.slice(0, 3));
}
