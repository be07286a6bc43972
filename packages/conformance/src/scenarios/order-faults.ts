import { setTimeout as sleep } from 'node:timers/promises';
import { Jumped, Moved, track } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import type { Worker } from '../worker.ts';
import {
  allHandled,
  checkOneProcess,
  checkOrder,
  handledIds,
  keysOf,
  orderedBus,
  publishMoves,
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
      const handle = ({ sequence }: { readonly sequence: number }): void => {
        if (sequence === 0) throw new Error('told to fail');
      };
      const handlers = { 'conformance.moved': handle, 'conformance.jumped': handle };
      const consumer = await failing.consume(track, handlers, { retry: { delaysMs: [60_000] } });
      await publishMoves(bus, keysOf(40), 30);
      await kit.eventually('the consumer reports degraded', () => consumer.health().status === 'degraded', 45_000);
      const { held, running } = consumer.health();
      kit.check(held <= WINDOW && running === 0, `at most ${WINDOW} are held and none runs: ${held} and ${running}`);
      const other = await kit.worker({ queue: 'track' }, { leaseMs: LEASE_MS });
      const closesAt = Date.now();
      await failing.close({ deadlineMs: 5_000 });
      const closedAt = Date.now();
      kit.check(closedAt - closesAt <= 6_000, `close returns within 6 s, not ${closedAt - closesAt} ms`);
      await allHandled(kit, 1_200, 60_000);
      const afterMs = (other.reports.find(({ at }) => at >= closesAt)?.at ?? Number.POSITIVE_INFINITY) - closedAt;
      kit.check(afterMs <= LEASE_MS + 5_000, `they reach another process within lease + 5 s, not ${afterMs} ms`);
      checkOrder(kit, runsOf([other]));
      kit.same((await kit.letters(bus, track)).length, 0, 'dead letters');
    },
  },
  {
    id: 'churn-order',
    guarantee: 'order',
    sentence:
      'order per key and topic holds while processes come, close and are killed and the broker restarts; only kills make duplicates',
    needs: ['ordering'],
    faults: ['kill', 'start', 'kill-process'],
    deadlineMs: 240_000,
    alone: true,
    async run(kit: Kit) {
      const bus = await orderedBus(kit, { sendTimeoutMs: 120_000 });
      const churn = new Churn(kit);
      await churn.add(3);
      const published = publishMoves(bus, keysOf(100), 200, [Moved, Jumped]);
      for (const leave of ['close', 'close', 'kill', 'close', 'restart', 'kill', 'close'] as const) {
        await sleep(3_000);
        if (leave === 'restart') await churn.restartBroker();
        else await churn.replace(leave);
      }
      await published;
      await allHandled(kit, 20_000, 180_000);
      const runs = runsOf(churn.workers);
      checkOrder(kit, runs);
      checkOneProcess(kit, runs);
      checkDuplicates(kit, churn.deaths);
    },
  },
];

/** Processes that come and go, and when one of them or the broker died. */
class Churn {
  readonly #kit: Kit;
  readonly workers: Worker[] = [];
  readonly deaths: number[] = [];

  constructor(kit: Kit) {
    this.#kit = kit;
  }

  async add(count = 1): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      const program = {
        queue: 'track',
        rules: [{ then: 'handle', afterMs: 25 }],
        options: { concurrency: 32 },
      } as const;
      this.workers.push(await this.#kit.worker(program, { leaseMs: LEASE_MS }));
    }
  }

  /** The busiest one leaves, another comes. */
  async replace(leave: 'close' | 'kill'): Promise<void> {
    const since = Date.now() - 1_000;
    const busy = ({ reports, alive }: Worker): number =>
      alive ? reports.slice(-500).filter(({ at }) => at > since).length : -1;
    const leaving = this.workers.toSorted((left, right) => busy(right) - busy(left))[0] as Worker;
    if (leave === 'kill') {
      this.deaths.push(Date.now());
      leaving.kill();
    }
    await Promise.all([leave === 'close' ? leaving.close() : leaving.ended, this.add()]);
  }

  async restartBroker(): Promise<void> {
    this.deaths.push(Date.now());
    await this.#kit.faults.kill();
    await this.#kit.faults.start();
  }
}

function checkDuplicates(kit: Kit, deaths: readonly number[]): void {
  const handled = kit.reports.filter(({ what }) => what === 'handled');
  const duplicates = handled.length - handledIds(kit.reports).size;
  kit.check(duplicates <= deaths.length * WINDOW, `at most ${WINDOW} duplicates a death, not ${duplicates}`);
  const seen = new Set<string>();
  const again: string[] = [];
  for (const { id, at } of handled) {
    if (seen.has(id) && at < Math.min(...deaths)) again.push(id);
    seen.add(id);
  }
  kit.same(again.length, 0, 'duplicates while processes only close', again.slice(0, 3));
}
